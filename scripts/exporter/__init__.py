"""Exports a diffusers pipeline folder as a darkroom model folder: python -m exporter SOURCE -o models/NAME."""
