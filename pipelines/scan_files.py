"""Endings of files that are scans."""

KSPACE_SUFFIXES = (".h5", ".mrd")
IMAGE_SUFFIXES = (".nii", ".nii.gz")
