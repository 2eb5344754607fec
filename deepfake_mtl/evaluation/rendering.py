"""The templates of this package, for pages that need nothing beside them."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from deepfake_mtl.evaluation import table


def template_environment(*packages: str) -> Environment:
    """Where templates are found, with everything escaped that is not known to be markup.

    Filters: ``percent`` and ``signed`` of `deepfake_mtl.evaluation.table`, and ``zip``.

    Args:
        packages: Names of packages whose templates are found, too.
    """
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader(name) for name in (*packages, "deepfake_mtl.evaluation")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = table.percent
    environment.filters["signed"] = table.signed
    environment.filters["zip"] = zip
    return environment
