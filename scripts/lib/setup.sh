# Sourced by scripts/run, scripts/test and scripts/export: fetches what darkroom is built from, and builds it.
# Everything fetched lies in the git-ignored .deps/, everything built in build/. Each part carries a mark that is
# written last, so that an interrupted set-up is never taken for a whole one. All messages go to stderr.

root="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
root="${root%/scripts/lib}"
deps="$root/.deps"
build="$root/build"
log="$deps/setup.log"

torch_version=2.11.0
# All that libtorch_cpu.so loads; the CUDA libraries proper (3.4 GB more) are for machines with an NVIDIA GPU.
cpu_wheels=("torch==$torch_version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)

build_packages=(g++ cmake ninja-build ccache pkg-config python3-venv libcli11-dev nlohmann-json3-dev libstb-dev
                libsentencepiece-dev libdeflate-dev libutf8proc-dev libjemalloc-dev nettle-dev)
test_packages=(libgtest-dev clang-format)

say() { echo "set-up: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# logged WHAT COMMAND...: announces WHAT and runs the command with its output in the log.
logged() {
  say "$1"
  echo "== $1" >>"$log"
  "${@:2}" >>"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    fail "failed: $1; the whole output is in $log"
  }
}

# locked COMMAND...: one set-up at a time; standard input is left to the program that is run afterwards.
locked() {
  mkdir -p "$deps"
  (
    flock 9
    : >"$log"
    "$@"
  ) 9>"$deps/lock" </dev/null
}

# packages NAME...: installs those Debian packages that are missing.
packages() {
  local installed missing=() as_root=() name
  installed="$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)"
  for name in "$@"; do
    grep -qxF "installed $name" <<<"$installed" || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "no apt-get to install ${missing[*]}; on other systems build with CMake (README.md)"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "run this as root first: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  # One broken source among several fails this step, but not the packages wanted: the next step decides.
  "${as_root[@]}" apt-get update >>"$log" 2>&1 || say "apt-get update failed (see $log); trying with the lists at hand"
  logged "installing packages: ${missing[*]}" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}"
}

libtorch_complete() {
  local mark="$deps/libtorch/complete-$torch_version"
  [[ -e "$mark-cuda" ]] || [[ -e "$mark-cpu" && ! -e /dev/nvidiactl ]]
}

# libtorch, from the Python wheels: pip only downloads and unpacks. The folders must stay as in site-packages, because
# libtorch_cpu.so finds the nvidia libraries from its own place.
libtorch() {
  local kind=cpu size="0.6 GB" wheels=(--no-deps "${cpu_wheels[@]}") new="$deps/libtorch.new"
  libtorch_complete && return
  if [[ -e /dev/nvidiactl ]]; then
    kind=cuda size="2.5 GB" wheels=("torch==$torch_version")
  fi
  rm -rf "$deps/downloader" "$new"
  mkdir -p "$new/tmp"
  logged "making a Python environment to download with" /usr/bin/python3 -m venv "$deps/downloader"
  TMPDIR="$new/tmp" logged "fetching libtorch $torch_version for $kind ($size)" \
    "$deps/downloader/bin/pip" install --no-compile --target "$new" "${wheels[@]}"
  rm -rf "$new/tmp" "$deps/downloader" "$deps/libtorch"
  touch "$new/complete-$torch_version-$kind"
  mv "$new" "$deps/libtorch"
}

# environment NAME FILE...: the virtual environment .deps/NAME with what the requirements files ask for. Its mark is a
# copy of them, so that a changed pin is followed.
environment() {
  local home="$deps/$1" mark="$deps/$1/requirements.txt" wanted
  wanted="$(cat "${@:2}")"
  if [[ -e "$mark" && "$(<"$mark")" == "$wanted" ]]; then return; fi
  packages python3-venv
  [[ -x "$home/bin/pip" ]] || logged "making the Python environment $1" /usr/bin/python3 -m venv --clear "$home"
  echo "$wanted" >"$mark.new"
  logged "fetching Python packages for $1" "$home/bin/pip" install --requirement "$mark.new"
  mv "$mark.new" "$mark"
}

# The full Python set (5 GB) of the exporter, the goldens and the training, in .deps/python.
python_environment() { locked environment python "$root"/scripts/requirements{-test,}.txt; }

# Whether build/darkroom is newer than all it is made from. A deleted file shows in its folder's time.
up_to_date() {
  [[ -x "$build/darkroom" && -e "$build/built" ]] && libtorch_complete &&
    [[ -z "$(find "$root"/{CMakeLists.txt,src,include,scripts/lib/setup.sh} -newer "$build/built" -print -quit)" ]]
}

# compile TARGET [CMAKE OPTION...]: into build/. scripts/run and scripts/test use the same flags, warnings as errors among
# them, so that nothing is built twice. CMAKE_GENERATOR gives way to what an existing build/ was made with.
compile() {
  local quiet=()
  [[ -t 2 ]] || quiet=(-- --quiet)
  # Precompiled headers and clones in other folders defeat ccache without these.
  export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR="$root"
  mkdir -p "$build"
  touch "$build/building"
  CMAKE_GENERATOR=Ninja logged "configuring" cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$deps/libtorch/torch" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DDARKROOM_WERROR=ON "${@:2}"
  say "compiling"
  cmake --build "$build" --target "$1" --parallel "$(nproc)" "${quiet[@]}" >&2 || fail "compiling failed"
  mv "$build/building" "$build/built"
}
