"""What hostile input must come to: tables of cases by command, the files they need, and how one is run."""
