#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// A whole number in [low, high]. The whole text must be the number: "20x", "1e9" and "" are not.
/// Throws UsageError saying what was given and what is allowed; `what` names the option and its place.
int64_t parse_integer(std::string_view what, std::string_view text, int64_t low, int64_t high);

/// A finite number in [low, high], read as parse_integer reads.
double parse_number(std::string_view what, std::string_view text, double low, double high);

/// "14.6,7.1,0.5": one or more, each as parse_number reads it.
std::vector<double> parse_numbers(std::string_view what, std::string_view text, double low, double high);

/// The shortest decimal text that reads back as the same number: "7.5", "30".
std::string number_text(double value);

/// "1.50 GB", "12 MB": for people.
std::string bytes_text(int64_t bytes);

/// "0:04", "12:30", "3:02:10": for people.
std::string duration_text(double seconds);

}  // namespace darkroom
