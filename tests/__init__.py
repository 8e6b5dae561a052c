from beartype import BeartypeConf, beartype

# Checks the calls of the NumPy packages against their signatures: see `--jaxtyping-packages` in pyproject.toml. An int passes
# for a float, as it does for type checkers.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
