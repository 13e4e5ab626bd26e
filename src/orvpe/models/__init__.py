"""Encoders, and what is saved of them: weights, cards, ONNX."""
