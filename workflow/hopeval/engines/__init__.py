"""What answers requests: one module an engine. Engines know nothing of questions or metrics."""
