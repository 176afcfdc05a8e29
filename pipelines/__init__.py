"""Where data, network and disk meet: simulate, segment, evaluate, report, train."""
