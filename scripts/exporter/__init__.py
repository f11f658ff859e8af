"""Exports a Stable Diffusion as a darkroom model folder: python -m exporter SOURCE -o models/NAME."""
