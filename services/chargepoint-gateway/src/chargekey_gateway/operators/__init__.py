"""Asking the operators of managed sites who may charge there."""
