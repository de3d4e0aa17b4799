"""From trained models to ONNX graphs."""
