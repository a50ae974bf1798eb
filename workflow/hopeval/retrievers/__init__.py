"""Ranked passages for questions: one module a retriever."""
