# Sourced by the other scripts: goes to the repository root and makes .venv hold requirements.txt and
# tests/requirements.txt. Installs again only when one of them or the Python version has changed.
# A .venv that was there before is used, and never deleted.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

fail() {
  echo "launch: $*" >&2
  exit 1
}

# The version of a Python, such as 3.11.7; nothing if it does not run.
version_of() {
  "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || true
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Prints the first Python on the path that is new enough.
find_python() {
  local candidate found=''
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
    [[ -n $found ]] || found=$(version_of "$candidate")
  done
  fail "Python 3.11 or later is needed; found ${found:-none}. Install one" \
    "(Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.12)" \
    "and run this again."
}

make_venv() {
  local python clear=''
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python $(version_of "$python") cannot make virtual environments." \
      "Debian, Ubuntu: apt install python3-venv; then run this again."
  echo "launch: making .venv with Python $(version_of "$python")"
  # The mark says that .venv is of our making and not whole: only such a one may be cleared.
  if [[ -e .venv/.unfinished ]]; then
    clear=--clear
  elif [[ ! -e .venv ]]; then
    mkdir .venv
    touch .venv/.unfinished
  fi
  "$python" -m venv $clear .venv ||
    fail "$python -m venv failed, its message is above. If .venv is of your own making," \
      "move it away (mv .venv .venv.old) and run this again."
  rm -f .venv/.unfinished
}

install() {
  local wanted
  wanted=$(.venv/bin/python -c 'import hashlib, pathlib, platform
files = ("requirements.txt", "tests/requirements.txt")
print(hashlib.sha256(b"".join(pathlib.Path(file).read_bytes() for file in files)).hexdigest(),
      platform.python_version())')
  if [[ $(cat .venv/.installed 2>/dev/null) == "$wanted" ]]; then
    echo "launch: .venv is up to date"
    return
  fi
  echo "launch: installing requirements.txt into .venv (a few minutes the first time)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements.txt -r tests/requirements.txt ||
    fail "pip could not install requirements.txt, its message is above; run this again when mended."
  echo "$wanted" >.venv/.installed
}

usable_venv() {
  [[ ! -e .venv/.unfinished ]] && .venv/bin/python -m pip --version >/dev/null 2>&1
}

usable_venv || make_venv
usable_venv || fail ".venv has no working pip. Move it away (mv .venv .venv.old) and run this again."
new_enough .venv/bin/python ||
  fail ".venv holds Python $(version_of .venv/bin/python), 3.11 or later is needed." \
    "Move it away (mv .venv .venv.old) and run this again."
install
