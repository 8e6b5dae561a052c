from beartype import BeartypeConf, beartype

# Checks calls of the NumPy packages against their signatures: see `--jaxtyping-packages` in pyproject.toml. An int is accepted
# as a float, as in type checkers.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
