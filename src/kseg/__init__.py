"""Segment MR images straight from under-sampled k-space."""

__version__ = "0.1.0"
