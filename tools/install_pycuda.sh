#!/usr/bin/env bash
# Install pycuda, of which PyPI has only the source, whether or not there is an NVIDIA driver or a CUDA toolkit.
#   tools/install_pycuda.sh [python]
# It needs a C++ compiler and about two minutes. CUDA's headers are an installed toolkit's, else PyPI's.
set -euo pipefail

python=${1:-python3}
if "$python" -c 'import pycuda' 2>/dev/null; then
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

root=
nvcc=$(command -v nvcc || true)
for candidate in "${CUDA_HOME:-}" "${CUDA_PATH:-}" "${nvcc:+$(dirname "$(dirname "$(readlink -f "$nvcc")")")}" /usr/local/cuda; do
  if [ -z "$root" ] && [ -f "$candidate/include/cuda.h" ]; then
    root=$candidate
  fi
done
if [ -z "$root" ]; then
  "$python" -m pip install --quiet --no-deps --target "$scratch/cuda" nvidia-cuda-runtime nvidia-cuda-profiler-api
  root=$(dirname "$(dirname "$(find "$scratch/cuda" -name cuda.h)")")
fi

# Linking needs something of the driver's name. Programs find the true one when they run.
mkdir "$scratch/stub" "$scratch/home"
echo 'void ltsh_nothing(void) {}' >"$scratch/nothing.c"
cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$scratch/stub/libcuda.so" "$scratch/nothing.c"
# The place where pycuda's build looks for its settings.
cat >"$scratch/home/.aksetup-defaults.py" <<END
CUDA_ROOT = "$root"
CUDA_ENABLE_CURAND = False
END

cache=$("$python" -m pip cache dir 2>/dev/null || echo "$scratch/pip")
HOME="$scratch/home" PIP_CACHE_DIR="$cache" CPATH="$root/include" LDFLAGS="-Wl,--no-as-needed" LIBRARY_PATH="$scratch/stub:${LIBRARY_PATH:-}" \
  "$python" -m pip install --quiet pycuda
