"""`python -m nlrn_jax` and the console script `nlrn-jax`: both are `python -m nlrn_jax.main`."""

import runpy


def main() -> None:
    """Run nlrn_jax/main.py as the program that it is."""
    runpy.run_module("nlrn_jax.main", run_name="__main__")


if __name__ == "__main__":
    main()
