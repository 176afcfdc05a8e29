"""The modules behind `paper_tables.py`: one experiment, cell by cell, from training to tables and figures."""
