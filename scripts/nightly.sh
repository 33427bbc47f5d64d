#!/usr/bin/env bash
# What takes longer than a change should wait for: `make nightly`, or some of its steps by
# `make nightly ARGS="wheel readme"`. Stops at the first that fails and says which.
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=${BIN:-$PWD/.venv/bin} # of the environment with everything installed
STEPS=(tests browser requests docs supply sdist wheel container readme examples benchmarks load)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

step_tests() { "$BIN/python" -m pytest -q; }

# A browser that is missing skips this test in `tests`; here it fails. axe-core comes by npm.
step_browser() {
	(cd scripts && "$BIN/python" -c 'import browser, sys; sys.exit(browser.missing())') &&
		UFC_SLOW_BROWSER=1 "$BIN/python" -m pytest -q tests/webui/test_browser*.py || return 1
	if ! command -v npm >/dev/null; then
		[ "${UFC_NO_AXE:-}" = 1 ] && return
		echo "nightly: no npm, so axe-core cannot look at the page; install npm, or set UFC_NO_AXE=1 to go without" >&2
		return 1
	fi
	(cd "$scratch" && npm pack --silent axe-core@4.14.1 >/dev/null && tar -xzf axe-core-*.tgz) &&
		UFC_AXE=$scratch/package/axe.min.js "$BIN/python" -m pytest -q tests/webui/test_browser_accessibility.py
}

# 10,000 requests to the server that schemathesis makes up from its schema.
step_requests() {
	UFC_MADE_UP_REQUESTS=10000 "$BIN/python" -m pytest -q tests/ufc/serving/test_made_up_requests.py
}

# The site is built without a warning, such as of a link or an anchor that is not there.
step_docs() {
	NO_MKDOCS_2_WARNING=1 "$BIN/python" -m mkdocs build --strict --site-dir "$scratch/site" &&
		test -s "$scratch/site/api/ufc.pipeline.html" && test -s "$scratch/site/models/fashion-192x256.html"
}

# The bill of materials can be made; no hole is known in what is pinned, where somebody can be asked.
step_supply() {
	"$BIN/python" scripts/supply_chain.py sbom "$scratch/sbom.json" &&
		"$BIN/python" scripts/supply_chain.py audit
}

build_both() { # sdist, and from it the wheel, once for both steps
	[ -d "$scratch/dist" ] || "$BIN/python" -m build --outdir "$scratch/dist" . >"$scratch/build.log" ||
		{ tail -n 30 "$scratch/build.log" >&2 && return 1; }
}

# The source distribution has all that its own tests need.
step_sdist() {
	build_both && mkdir -p "$scratch/sdist" &&
		tar -xzf "$scratch"/dist/*.tar.gz -C "$scratch/sdist" --strip-components 1 &&
		(cd "$scratch/sdist" && PYTHONPATH=$PWD "$BIN/python" -m pytest -q tests/ufc/cli/test_cli.py \
			tests/test_layout.py tests/test_packaging.py tests/test_readme.py tests/test_recipes.py)
}

# The wheel alone, in an environment of its own and away from the clone, draws and finds recipes; in
# another one, with a kernel beside it, it is timed as far as the first picture in a notebook.
step_wheel() {
	build_both && "$BIN/python" -m venv "$scratch/venv" &&
		"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
			"$scratch"/dist/*.whl --constraint requirements.txt &&
		mkdir -p "$scratch/away" && (
		cd "$scratch/away" && unset PYTHONPATH &&
			../venv/bin/ufc --version && ../venv/bin/python -m ufc env &&
			../venv/bin/ufc generate --prompt "women's red handbag" --seed 1 --output-dir out &&
			../venv/bin/python -c 'from ufc.cli.recipes import find_recipe as f; print(f("fashion-192x256"))'
	) && "$BIN/python" scripts/first_picture.py --wheel "$scratch"/dist/*.whl
}

# The container's files are linted; where an engine runs, the image is built too.
step_container() {
	local lint compose=(docker compose)
	lint=$(PATH=$BIN:$PATH command -v hadolint) || true
	if [ -n "$lint" ]; then
		"$lint" Dockerfile || return 1
	else
		echo "nightly: no hadolint, so nothing lints Dockerfile" >&2
	fi
	"${compose[@]}" version >/dev/null 2>&1 || compose=(docker-compose)
	if "${compose[@]}" version >/dev/null 2>&1; then
		UFC_API_KEYS=one "${compose[@]}" --profile cuda config -q || return 1
	else
		echo "nightly: no docker compose, so nothing reads compose.yaml" >&2
	fi
	if docker info >/dev/null 2>&1; then
		docker build --target cpu -t ufc-serve:nightly . || return 1
	else
		echo "nightly: no container engine runs, so no image is built" >&2
	fi
}

step_readme() { "$BIN/python" scripts/readme_commands.py; }

# Everything in examples/ runs with the bundled model: scripts, and notebooks in full by a kernel (one
# trains for up to eight minutes). dreambooth.py runs in full where UFC_LOOK names a folder of pictures,
# UFC_LOOK_CAPTION what all of them are called, and UFC_HELD_OUT a captioned set that nothing learnt from.
step_examples() {
	local script
	mkdir -p "$scratch/examples" && cp examples/*.py examples/*.ipynb "$scratch/examples" && (
		export PYTHONPATH=$PWD
		for script in examples/*.py; do
			case $script in
			*/minimal_sampling.py) "$BIN/python" "$script" "women's red handbag" "$scratch/handbag.png" ;;
			*/dreambooth.py) learn_look "$scratch/look" ;;
			*/ray_batch.py)
				if "$BIN/python" -c "import ray" 2>/dev/null; then
					"$BIN/python" "$script" --smoke
				else
					echo "nightly: no ray, so ray_batch.py is not run" >&2
				fi ;;
			*) "$BIN/python" "$script" --smoke ;;
			esac || return 1
		done
		"$BIN/jupyter-execute" "$scratch"/examples/*.ipynb
	)
}

learn_look() { # learn_look FOLDER: by toy pictures, or by those of UFC_LOOK and with figures
	if [ -z "${UFC_LOOK:-}" ]; then
		"$BIN/python" examples/dreambooth.py --smoke --output-dir "$1"
		return
	fi
	[ -n "${UFC_LOOK_CAPTION:-}" ] && [ -n "${UFC_HELD_OUT:-}" ] || {
		echo "nightly: UFC_LOOK also wants UFC_LOOK_CAPTION and UFC_HELD_OUT" >&2
		return 1
	}
	"$BIN/python" examples/dreambooth.py "$UFC_LOOK" --caption "$UFC_LOOK_CAPTION" --output-dir "$1" &&
		"$BIN/python" scripts/adapter_figures.py fashion-192x256 "$1/pytorch_lora_weights.safetensors" \
			--own "$UFC_LOOK" --caption "$UFC_LOOK_CAPTION" --real "$UFC_HELD_OUT"
}

step_benchmarks() {
	"$BIN/python" -m ufc bench --quick --output "$scratch/bench.json" &&
		"$BIN/python" -m benchmarks.overhead --rounds 1 --output "$scratch/overhead.json" &&
		"$BIN/python" -m benchmarks.attention --tokens 64 --repeats 1 --output "$scratch/attention.json" &&
		"$BIN/python" -m benchmarks.editor --repeats 1 --visitors 2 &&
		"$BIN/python" -m benchmarks.serving --requests 8 --rounds 1
}

# Editor, server and a batch at once: no error, no mix-up, and no growth of memory.
step_load() { GOMP_SPINCOUNT=1000 "$BIN/python" -m benchmarks.load --minutes 10; }

[ $# -gt 0 ] || set -- "${STEPS[@]}"
for step in "$@"; do
	case " ${STEPS[*]} " in *" $step "*) ;; *)
		echo "nightly: no step $step; there are ${STEPS[*]}" >&2
		exit 2
		;;
	esac
done
for step in "$@"; do
	echo "nightly: $step"
	code=0
	"step_$step" || code=$?
	if [ "$code" != 0 ]; then
		echo "nightly: $step failed with exit code $code; make nightly ARGS=$step repeats it" >&2
		exit "$code"
	fi
done
echo "nightly: all done ($*)"
