// Whose files may be loaded, shown on real files, folders and links.

#include "provider/trusted_file.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "support/process.hpp"

namespace {

namespace fs = std::filesystem;
using cnspec::ErrorKind;
using cnspec::provider::PermissionChecker;
using cnspec::test::TempDir;

constexpr uid_t kStranger = 54321;

std::string open_error(const fs::path& file) {
  PermissionChecker permissions;
  if (auto folder = permissions.check_folder(file.parent_path()); !folder) return folder.error().message();
  const auto opened = permissions.open(file);
  return opened ? "" : opened.error().message();
}

std::string folder_error(const fs::path& folder) {
  PermissionChecker permissions;
  const auto good = permissions.check_folder(folder);
  return good ? "" : good.error().message();
}

TEST(TrustedFile, OpensAFileOfOurs) {
  const TempDir folder;
  const auto path = folder.write("x.so", "contents", 0644);
  PermissionChecker permissions;
  ASSERT_TRUE(permissions.check_folder(folder.path()));
  const auto file = permissions.open(path);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->path(), path);
  EXPECT_EQ(file->size(), 8u);
  EXPECT_TRUE(file->unchanged());
}

TEST(TrustedFile, NoticesChangesOfAnOpenedFileAndNotOfItsPath) {
  const TempDir folder;
  const auto changed_by = [&](auto&& change) {
    const auto path = folder.write("x.so", "contents", 0644);
    PermissionChecker permissions;
    const auto file = permissions.open(path);
    change(path);
    return file && !file->unchanged();
  };
  EXPECT_FALSE(changed_by([](const fs::path&) {}));
  EXPECT_FALSE(changed_by([](const fs::path& p) { fs::remove(p); }));
  EXPECT_TRUE(changed_by([](const fs::path& p) { fs::resize_file(p, 3); }));
  EXPECT_FALSE(changed_by([&](const fs::path& p) { fs::rename(folder.write("other", "contents"), p); }));
  EXPECT_TRUE(changed_by([](const fs::path& p) { fs::permissions(p, fs::perms(0600)); }));
}

TEST(TrustedFile, RefusesWhatOthersCanWrite) {
  const TempDir folder;
  EXPECT_EQ(open_error(folder.write("world.so", "x", 0666)), "the file is writable by everybody (mode 0666)");
  EXPECT_EQ(open_error(folder.write("group.so", "x", 0664)), "the file is writable by its group (mode 0664)");
  const auto inside = folder.write("sub/x.so", "x");
  fs::permissions(inside.parent_path(), fs::perms(0770));
  EXPECT_EQ(open_error(inside),
            "the folder " + (folder / "sub").string() + " is writable by its group (mode 0770)");
  fs::permissions(inside.parent_path(), fs::perms(01777));
  EXPECT_EQ(open_error(inside),
            "the folder " + (folder / "sub").string() + " is writable by everybody (mode 1777)")
      << "sticky does not help the provider folder itself";
  fs::permissions(inside.parent_path(), fs::perms(0755));
  fs::permissions(folder.path(), fs::perms(0777));
  EXPECT_EQ(open_error(inside),
            "the folder " + folder.path().string() + " is writable by everybody (mode 0777)");
  fs::permissions(folder.path(), fs::perms(01777));
  EXPECT_EQ(open_error(inside), "") << "above it, sticky does";
}

TEST(TrustedFile, SaysHowToMendIt) {
  const TempDir folder;
  PermissionChecker permissions;
  const auto path = folder.write("world.so", "x", 0666);
  const auto file = permissions.open(path);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind(), ErrorKind::kUntrusted);
  EXPECT_EQ(file.error().hint(), "chmod go-w '" + path.string() + "'");
}

// Only root can give files away; anybody else meets files of others where root left some.
TEST(TrustedFile, RefusesWhatBelongsToAStranger) {
  const TempDir folder;
  if (::geteuid() != 0) {
    EXPECT_EQ(folder_error("/root/x").substr(0, 5), "/root") << "a folder that we may not enter";
    return;
  }
  const auto file = folder.write("sub/x.so", "x");
  ASSERT_EQ(::chown(file.c_str(), kStranger, 0), 0);
  EXPECT_EQ(open_error(file), "the file belongs to user id 54321, expected root");
  ASSERT_EQ(::chown(file.c_str(), 0, kStranger), 0);
  EXPECT_EQ(open_error(file), "") << "its group does not matter when it cannot write";
  ASSERT_EQ(::chown((folder / "sub").c_str(), kStranger, 0), 0);
  EXPECT_EQ(open_error(file),
            "the folder " + (folder / "sub").string() + " belongs to user id 54321, expected root");
  ASSERT_EQ(::chown((folder / "sub").c_str(), 0, 0), 0);

  // A link of a stranger's may lead elsewhere tomorrow, and so may one that only stands between two of ours.
  fs::create_directory(folder / "theirs");
  fs::create_directory_symlink(folder / "sub", folder / "theirs/link");
  ASSERT_EQ(::lchown((folder / "theirs/link").c_str(), kStranger, 0), 0);
  const std::string refused = "the link " + (folder / "theirs/link").string() + " belongs to user id 54321";
  EXPECT_EQ(folder_error(folder / "theirs/link"), refused);
  fs::create_directory_symlink(folder / "theirs/link", folder / "ours");
  EXPECT_EQ(folder_error(folder / "ours"), refused);
  ASSERT_EQ(::lchown((folder / "theirs/link").c_str(), 0, 0), 0);
  EXPECT_EQ(folder_error(folder / "ours"), "");
  fs::permissions(folder / "theirs", fs::perms(0777));
  EXPECT_EQ(folder_error(folder / "ours"),
            "the folder " + (folder / "theirs").string() + " is writable by everybody (mode 0777)");
}

TEST(TrustedFile, FollowsLinksToTheirEnd) {
  const TempDir folder;
  folder.write("real/x.so", "x");
  folder.write("open/y.so", "x");
  fs::permissions(folder / "open", fs::perms(0777));
  fs::create_symlink("real/x.so", folder / "good.so");
  fs::create_symlink("open/y.so", folder / "bad.so");
  fs::create_symlink("nowhere", folder / "dangling.so");
  fs::create_symlink("loop.so", folder / "loop.so");
  fs::create_symlink("../" + folder.path().filename().string() + "/./real/../good.so", folder / "winding.so");
  EXPECT_EQ(open_error(folder / "good.so"), "");
  EXPECT_EQ(open_error(folder / "winding.so"), "");
  EXPECT_EQ(open_error(folder / "bad.so"),
            "the folder " + (folder / "open").string() + " is writable by everybody (mode 0777)");
  EXPECT_EQ(open_error(folder / "dangling.so"), "a link to a file that does not exist");
  EXPECT_EQ(open_error(folder / "loop.so"), "a link that leads back to itself");
  PermissionChecker permissions;
  EXPECT_EQ(permissions.open(folder / "winding.so")->path(), folder / "real/x.so");
}

TEST(TrustedFile, OpensNothingButRegularFiles) {
  const TempDir folder;
  ASSERT_EQ(::mkfifo((folder / "fifo.so").c_str(), 0600), 0);
  fs::create_directory(folder / "folder.so");
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string socket_path = folder / "socket.so";
  ASSERT_LT(socket_path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(open_error(folder / "fifo.so"), "a FIFO, expected a shared library");
  EXPECT_EQ(open_error(folder / "folder.so"), "a folder, expected a shared library");
  EXPECT_EQ(open_error(folder / "socket.so"), "a socket, expected a shared library");
  EXPECT_EQ(open_error("/dev/null"), "a device, expected a shared library");
  EXPECT_EQ(open_error(folder / "gone.so"), "cannot be opened: No such file or directory");
  EXPECT_EQ(open_error(folder / (std::string(300, 'x') + ".so")), "cannot be opened: File name too long");
  ::close(listener);
}

TEST(TrustedFile, SaysWhatAFolderIsInstead) {
  const TempDir folder;
  const auto file = folder.write("file", "x");
  EXPECT_EQ(folder_error(file), file.string() + " is no folder");
  EXPECT_EQ(folder_error(folder / "gone"), (folder / "gone").string() + ": No such file or directory");
  EXPECT_EQ(folder_error(folder / "gone\n\x1b[2J"),
            (folder / "gone").string() + "\\n\\x1b[2J: No such file or directory");
}

}  // namespace
