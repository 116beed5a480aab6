#define BOOST_DLL_USE_STD_FS
#include "runtime/network.hpp"

#include <boost/dll/shared_library.hpp>

namespace cnspec::runtime {
namespace fs = std::filesystem;

Result<fs::path> library_folder() {
  constexpr char kProgram[] = "/proc/self/exe";
  std::error_code ec;
  const fs::path program = fs::read_symlink(kProgram, ec);
  if (!ec) return program.parent_path().parent_path() / "lib/cnspec";
  return fail(Error("where the program is installed cannot be found out: " + std::string(kProgram) + ": " +
                    ec.message())
                  .hint("mount /proc, which is missing here"));
}

Result<const Network*> load_network() {
  static const Network* loaded = nullptr;
  if (loaded) return loaded;
  const auto folder = library_folder();
  if (!folder) return fail(folder.error());
  const fs::path path = *folder / "cnspec-network.so";
  std::error_code ec;
  // Never unloaded: libcurl and OpenSSL leave handlers behind that run at exit.
  static auto& library = *new boost::dll::shared_library;
  library.load(path, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local, ec);
  if (ec || !library.has("cnspec_network")) {
    return fail(Error("the network module cannot be loaded: " + path.string() + ": " +
                      (ec ? ec.message() : "it is of another version"))
                    .hint("install cnspec again; its bin and lib folders belong together"));
  }
  loaded = library.get<const Network*()>("cnspec_network")();
  return loaded;
}

}  // namespace cnspec::runtime
