// Report: rows as a table with ratios, as JSON lines, and as a picture.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/load.h"

namespace flotilla::bench {

// One object, without a newline.
std::string ToJson(const Row& row);

// Every row, with its throughput, latency and server CPU as multiples of etcd's in the same
// operation at the same number of outstanding requests.
std::string ToTable(const std::vector<Row>& rows);

// An SVG page: one panel per operation, throughput over outstanding requests.
std::string ToSvg(const std::vector<Row>& rows);

}  // namespace flotilla::bench
