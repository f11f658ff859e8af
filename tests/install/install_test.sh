#!/usr/bin/env bash
# install_test.sh CMAKE BUILD_DIR LIBTORCH_LIB_DIR: installs, moves the folder, and checks that it stands on its own:
# every library that the program loads is the folder's, libtorch's or glibc's; nothing else lies in lib/; each bundled
# library has its licence; the whole is small; the program starts.
set -euo pipefail
cmake="$1" build="$2" libtorch="$(realpath "$3")"
limit=$((25 * 1024 * 1024))

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

"$cmake" --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || fail "cmake --install: $(cat "$work/log")"
mv "$work/first" "$work/moved"
home="$work/moved"

needed=()
while read -r name arrow path _; do
  [[ "$arrow" == "=>" ]] || continue # the kernel's vdso and the loader itself
  [[ "$path" != "not" ]] || fail "$name is not found"
  path="$(realpath "$path")"
  case "$path" in
    "$home"/lib/*) needed+=("$path") ;;
    "$libtorch"/* | "${libtorch%/torch/lib}"/nvidia/*) ;;
    *) [[ "$name" =~ ^lib(c|m|mvec|dl|rt|pthread|util)\.so ]] || fail "$name comes from $path" ;;
  esac
done < <(env -u LD_LIBRARY_PATH ldd "$home/bin/darkroom")
((${#needed[@]})) || fail "no library is found in lib/"

unneeded="$(comm -13 <(printf '%s\n' "${needed[@]}" | sort) <(find "$home/lib" -type f | sort))"
[[ -z "$unneeded" ]] || fail "not needed in lib/: $unneeded"

if command -v dpkg-query >/dev/null; then
  for path in "${needed[@]}"; do
    # Several where a package for another architecture has a file of this name.
    packages="$(dpkg-query --search "*/$(basename "$path")" | sed -n 's/:.*//p' | sort -u)"
    licensed=
    for package in $packages; do [[ ! -s "$home/share/darkroom/licenses/$package" ]] || licensed=yes; done
    [[ -n "$licensed" ]] || fail "no licence of ${packages//$'\n'/ or } for $(basename "$path")"
  done
fi

size="$(du --summarize --bytes "$home" | cut -f 1)"
((size <= limit)) || fail "$size bytes are more than $limit"

env -i "$home/bin/darkroom" --version >"$work/version" || fail "darkroom --version exits with $?"
grep -q '^darkroom [0-9]' "$work/version" || fail "darkroom --version prints: $(cat "$work/version")"
echo "$size bytes, ${#needed[@]} libraries, $(cat "$work/version")"
