#!/bin/sh
# Run the core's tests on every other supported Python that is installed here.
#
# An interpreter counts as installed if it runs: version managers put commands on the path that only
# say which version is missing. Each gets an environment of its own, which is kept for the next time.
set -eu
cd "$(dirname "$0")/.."

SUPPORTED="3.11 3.12 3.13"
PACKAGES="pytest pytest-asyncio hypothesis trio uvloop anyio asgi-lifespan starlette fastapi"
# What needs no more than these. Single tests in them skip what they find missing.
TESTS="tests/protocol tests/crossing tests/exchange tests/test_testing*.py
       tests/files/test_reader_like_buffered.py"

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# Print a command that runs this version of Python, or nothing.
interpreter() {
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if [ "$(version_of "$candidate")" = "$1" ]; then
            echo "$candidate"
            return
        fi
    done
}

set_up() { # python, directory
    if [ ! -e "$2/.installed" ] || [ -n "$(find pyproject.toml "$0" -newer "$2/.installed")" ]; then
        "$1" -m venv --clear "$2"
        # shellcheck disable=SC2086  # a list
        "$2/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable '.[serve]' $PACKAGES
        touch "$2/.installed"
    fi
}

own=.venv/bin/python
[ -x "$own" ] || own=python3
own=$(version_of "$own")
tested=
for version in $SUPPORTED; do
    [ "$version" != "$own" ] || continue
    python=$(interpreter "$version")
    [ -n "$python" ] || continue
    echo "Python $version: the core's tests"
    set_up "$python" ".venv-$version"
    found=$(for each in $TESTS; do if [ -e "$each" ]; then echo "$each"; fi; done)
    # shellcheck disable=SC2086  # a list
    ".venv-$version/bin/python" -m pytest --quiet -p no:cacheprovider \
        -o faulthandler_exit_on_timeout=true $found
    tested="$tested $version"
done
if [ -n "$tested" ]; then
    echo "interpreters tested beside $own:$tested"
else
    echo "no other interpreter found beside $own"
fi
