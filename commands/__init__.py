"""The command line, a module a family of verbs; `cli` has the main job's own."""
