// What the parts of the sandbox know of each other. Inside core/provider only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace cnspec::provider {

// Why the keeper ended a provider, as the exit status that it gives for it. Out of the way of sysexits.h and
// of 128 + a signal.
enum class Violation { kNetwork = 224, kExec = 225, kProcess = 226, kMemory = 227 };

// System calls have had the same numbers on every architecture since they were added.
inline constexpr long kLandlockCreateRuleset = 444;
inline constexpr long kLandlockAddRule = 445;
inline constexpr long kLandlockRestrictSelf = 446;

// The limit of an isolated provider, or what whoever started the program left of it.
std::uint64_t max_processor_seconds();

// 0: there is none.
int landlock_abi();

// The steps of apply_sandbox() that are rooms of their own: landlock.cpp and seccomp.cpp. `sees_cuts`:
// whether Landlock refuses to cut a file that may not be written, as it does from ABI 3. Restricting calls
// gives what apply_sandbox() does.
struct Sandbox;
Result<void> restrict_files(const Sandbox& sandbox, int library, int abi);
Result<Fd> restrict_calls(bool may_exec, bool sees_cuts);
// Whether this kernel lets somebody else answer the calls that are refused.
bool can_ask_about_calls();

// What restrict_files() allows, as far as a name tells: the file's own, as of kernel_name(). /proc/self
// aside.
enum class Access { kRead, kList, kWrite, kRun };  // kList: reading a folder
bool allows(const Sandbox& sandbox, std::string_view path, Access access);

// As the kernel will see it; what does not exist yet keeps its name.
std::string kernel_name(const std::filesystem::path& path);

// With errno's meaning.
Error cannot_confine(const std::string& what);

// Removes the folder and what is in it, however deep and whatever its modes: it may have been a hostile hand
// that filled it. Follows no link.
void remove_folder(const std::filesystem::path& folder);

// Both absolute and without a slash at the end.
bool lies_in(std::string_view path, std::string_view folder);

}  // namespace cnspec::provider
