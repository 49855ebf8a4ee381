// FindAnomaly: whether transactions on lists were isolated as their levels promise, found out from
// what they saw and when, and from nothing that the store says of itself (Kingsbury, Alvaro: Elle:
// Inferring Isolation Anomalies from Experimental Observations, VLDB 2020).
//
// Levels mix (Adya, 5.5): a dependency counts where it obliges the transaction that it is of.
//   ww, rt  always: what was written, and told, stays in its order
//   wr      when the reader reads only what is committed
//   rw      when the reader reads a snapshot; in cycles of several, one after the other, when what
//           it read was to be unchanged: serializable ones, and those that wrote nothing
//
// | a cycle of | is | of levels |
// | ww, rt | G0 | all |
// | and wr | G1c | read committed and above |
// | and rw, no two of them one after the other | G-single, G-nonadjacent | repeatable read and
// above | | and rw | G2 | serializable |
//
// With rt, transactions that are serializable are strictly so.
#pragma once

#include <optional>
#include <vector>

#include "tests/sim/list_dependencies.h"

namespace flotilla::sim {

// The first that is found; those that need no cycle first.
std::optional<ListAnomaly> FindAnomaly(const std::vector<ListTxn>& history);

}  // namespace flotilla::sim
