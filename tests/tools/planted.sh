# Planted bugs: those that a scripted test sees, and the hunt for the others. Sourced by ./dev.

# planted [--planted NAME] [the simulator's options]
planted() {
  local name=all options=() status=0
  while (($#)); do
    case $1 in
      --planted) name=$2 && shift ;;
      --planted=*) name=${1#*=} ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  configure_preset planted
  local scripted
  scripted=$(python3 tests/tools/planted_tests.py --list | paste -sd ,)
  local has_test=0
  [[ ,$scripted, != *,$name,* ]] || has_test=1
  if [[ $name == all ]] || ((has_test)); then
    python3 tests/tools/planted_tests.py build/planted "$name" || status=1
  fi
  if ((!has_test)); then
    cmake --build build/planted --target flotilla_sim
    build/planted/bin/flotilla_sim --planted "$name" --except "$scripted" --seeds 1..1000 \
      "${options[@]}" || status=1
  fi
  return "$status"
}
