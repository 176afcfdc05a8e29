"""MONAI bundles that ship with the package: configurations, documentation and weights."""
