"""Templates of pages that need nothing beside them."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from deepfake_mtl.html.numbers import percent, signed


def template_environment(*packages: str) -> Environment:
    """Return an environment of templates that escapes everything that is not known to be markup.

    Its filters are ``percent`` and ``signed`` of `deepfake_mtl.html.numbers`, and ``zip``.

    Args:
        packages: Names of packages whose folder ``templates`` is searched, before that of
            `deepfake_mtl.html`, which holds the frame of all pages.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "deepfake_mtl.html")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["signed"] = signed
    environment.filters["zip"] = zip
    return environment
