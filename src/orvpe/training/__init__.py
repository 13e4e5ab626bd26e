"""Pre-training without labels, fine-tuning with them, and the linear probe."""
