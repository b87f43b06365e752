"""Trained generators for use elsewhere: safetensors and ONNX."""
