// The other end of isolate.hpp: what cnspec-provider-host does.
#pragma once

#include <filesystem>

namespace cnspec::provider {

// What the program hands over, by number. Standard input is empty; standard output and error are one pipe.
inline constexpr int kChannelFd = 3;  // a stream socket, for frames
inline constexpr int kLibraryFd = 4;  // the library, opened and checked
inline constexpr int kLeashFd =
    5;  // a socket of messages: it ends when the program goes or wants this to end
inline constexpr int kCancelledFd = 6;  // memory: one std::atomic<bool>, whether the call was cancelled
inline constexpr int kLastFd = kCancelledFd;

// How the provider's process ends when the channel is lost; the library cannot have been told.
inline constexpr int kChannelClosedStatus = 113;
inline constexpr int kChannelBrokenStatus = 114;
inline constexpr int kNoServiceStatus = 115;  // the descriptors were not handed over

// How long what runs has from TERM to KILL.
inline constexpr int kGraceMilliseconds = 2000;

// How a message of the keeper begins, which no provider can write.
enum class KeeperWord : char {
  kLine = 'L',  // then a line that says what was refused
  kEnd = 'E'    // the last one; then how the provider's process ended, an int as of waitpid
};

// The keeper's whole life: starts the provider's process and ends all that is below itself when that ends,
// when the leash does, or, after a grace, on SIGTERM. Says so to the leash, and removes `scratch`, the
// provider's private folder, however long that takes. Without these words it could not do its work, or was
// ended itself.
int keep_provider(const std::filesystem::path& scratch);

// From here on a crash ends the process by its signal, also where something that is linked in (a sanitizer)
// would have handled it: whoever waits for a process that runs a provider goes by how it ended.
void crash_plainly();

}  // namespace cnspec::provider
