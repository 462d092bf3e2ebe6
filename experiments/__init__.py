"""What is measured and drawn."""
