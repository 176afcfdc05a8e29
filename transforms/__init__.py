"""Tensors in, tensors out: Fourier, coils, sampling, phantoms, scans and k-space files."""
