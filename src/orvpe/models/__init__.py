"""Encoders, models with weights and card, embedding, ONNX export."""
