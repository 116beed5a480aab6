// What both halves of the sandbox know. Inside core/provider only.
#pragma once

#include <filesystem>
#include <string_view>

namespace cnspec::provider {

// The child ends with one of these as its exit status. Out of the way of sysexits.h and of 128 + a signal.
enum class Violation { kNetwork = 224, kExec = 225, kProcess = 226, kMemory = 227 };

// System calls have had the same numbers on every architecture since they were added.
inline constexpr long kLandlockCreateRuleset = 444;
inline constexpr long kLandlockAddRule = 445;
inline constexpr long kLandlockRestrictSelf = 446;

// 0: there is none.
int landlock_abi();

// Removes the folder and what is in it, however deep and whatever its modes: it may have been a hostile hand
// that filled it. Follows no link.
void remove_folder(const std::filesystem::path& folder);

// Both absolute and without a slash at the end.
bool lies_in(std::string_view path, std::string_view folder);

}  // namespace cnspec::provider
