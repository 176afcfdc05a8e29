"""The modules behind `paper_tables.py` and `rsanet.py`: experiments, cell by cell, from training to tables."""
