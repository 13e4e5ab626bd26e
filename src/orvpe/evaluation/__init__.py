"""Accuracy, scores, and how both change under occlusion."""
