// The provider os: distributions as trees of files, this machine as it is, and files that mean harm.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <utility>

#include "integration/local_provider.hpp"

namespace cnspec::test {
namespace {

LocalProvider& os() {
  static LocalProvider loaded("os");
  return loaded;
}

std::unique_ptr<provider::Connection> local() { return os().connect({.connector = "local"}); }
std::unique_ptr<provider::Connection> image(const std::filesystem::path& folder) {
  return os().connect({.connector = "filesystem", .args = {folder.string()}});
}

// ---- Distributions ----

using Files = std::vector<std::pair<const char*, const char*>>;

struct Distribution {
  const char* label;
  Files files;
  const char* name;
  const char* version;
  const char* title;
  const char* family;
  const char* build = "";
};

std::ostream& operator<<(std::ostream& out, const Distribution& d) { return out << d.label; }

constexpr char kNone[] = R"(["linux","unix","os"])";
constexpr char kArch[] = R"(["arch","linux","unix","os"])";
constexpr char kRedhat[] = R"(["redhat","linux","unix","os"])";
constexpr char kDebian[] = R"(["debian","linux","unix","os"])";
constexpr char kSuse[] = R"(["suse","linux","unix","os"])";
constexpr char kEuler[] = R"(["euler","linux","unix","os"])";

class Distributions : public testing::TestWithParam<Distribution> {};

TEST_P(Distributions, AreIdentifiedFromTheirFiles) {
  const Distribution& d = GetParam();
  const TempDir root;
  for (const auto& [path, text] : d.files) root.write(path, text);
  const auto asset = image(root.path())->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("platform"), d.name);
  EXPECT_EQ(asset->text("version"), d.version);
  EXPECT_EQ(asset->text("title"), d.title);
  EXPECT_EQ(asset->text("family"), d.family);
  EXPECT_EQ(asset->text("build"), d.build);
  EXPECT_EQ(asset->text("kind"), "");
  EXPECT_EQ(asset->text("name"), root.path());
}

INSTANTIATE_TEST_SUITE_P(
    Linux, Distributions,
    testing::Values(
        Distribution{"arch",
                     {{"etc/arch-release", ""},
                      {"etc/os-release", "ID=arch\nPRETTY_NAME=\"Arch Linux\"\nBUILD_ID=rolling\n"}},
                     "arch",
                     "",
                     "Arch Linux",
                     kArch,
                     "rolling"},
        Distribution{"arch container", {{"etc/arch-release", ""}}, "arch", "", "Arch Linux", kArch},
        Distribution{"manjaro without os-release",
                     {{"etc/arch-release", "Manjaro Linux\n"}},
                     "manjaro",
                     "",
                     "Manjaro Linux",
                     kArch},
        Distribution{"cachyos, a relative",
                     {{"etc/os-release", "ID=cachyos\nID_LIKE=arch\nPRETTY_NAME=CachyOS\n"}},
                     "cachyos",
                     "",
                     "CachyOS",
                     kArch},
        Distribution{
            "rhel",
            {{"etc/os-release",
              "ID=\"rhel\"\nVERSION_ID=\"8\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 8.4 (Ootpa)\"\n"},
             {"etc/redhat-release", "Red Hat Enterprise Linux release 8.4 (Ootpa)\n"}},
            "redhat",
            "8.4",
            "Red Hat Enterprise Linux 8.4 (Ootpa)",
            kRedhat},
        Distribution{"centos 6, before os-release",
                     {{"etc/redhat-release", "CentOS release 6.10 (Final)\n"},
                      {"etc/centos-release", "CentOS release 6.10 (Final)\n"}},
                     "centos",
                     "6.10",
                     "CentOS",
                     kRedhat},
        Distribution{"centos 7",
                     {{"etc/os-release",
                       "NAME=\"CentOS Linux\"\nID=\"centos\"\nVERSION_ID=\"7\"\nPRETTY_NAME=\"CentOS Linux 7 "
                       "(Core)\"\n"},
                      {"etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n"}},
                     "centos",
                     "7.9.2009",
                     "CentOS Linux 7 (Core)",
                     kRedhat},
        Distribution{
            "oracle",
            {{"etc/os-release", "ID=\"ol\"\nVERSION_ID=\"9.3\"\nPRETTY_NAME=\"Oracle Linux Server 9.3\"\n"},
             {"etc/oracle-release", "Oracle Linux Server release 9.3\n"},
             {"etc/redhat-release", "Red Hat Enterprise Linux release 9.3 (Plow)\n"}},
            "oraclelinux",
            "9.3",
            "Oracle Linux Server 9.3",
            kRedhat},
        Distribution{
            "almalinux",
            {{"etc/os-release",
              "ID=\"almalinux\"\nVERSION_ID=\"8.10\"\nPRETTY_NAME=\"AlmaLinux 8.10 (Cerulean Leopard)\"\n"},
             {"etc/redhat-release", "AlmaLinux release 8.10 (Cerulean Leopard)\n"}},
            "almalinux",
            "8.10",
            "AlmaLinux 8.10 (Cerulean Leopard)",
            kRedhat},
        Distribution{"rocky",
                     {{"etc/os-release",
                       "ID=\"rocky\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"\n"},
                      {"etc/redhat-release", "Rocky Linux release 9.4 (Blue Onyx)\n"}},
                     "rockylinux",
                     "9.4",
                     "Rocky Linux 9.4 (Blue Onyx)",
                     kRedhat},
        Distribution{"fedora",
                     {{"etc/os-release",
                       "ID=fedora\nVERSION_ID=40\nPRETTY_NAME=\"Fedora Linux 40 (Container "
                       "Image)\"\nVARIANT_ID=container\n"},
                      {"etc/redhat-release", "Fedora release 40 (Forty)\n"}},
                     "fedora",
                     "40",
                     "Fedora Linux 40 (Container Image)",
                     kRedhat},
        Distribution{"scientific",
                     {{"etc/redhat-release", "Scientific Linux release 6.9 (Carbon)\n"}},
                     "scientific",
                     "6.9",
                     "Scientific Linux",
                     kRedhat},
        Distribution{"eurolinux",
                     {{"etc/os-release",
                       "ID=\"eurolinux\"\nVERSION_ID=\"8.6\"\nPRETTY_NAME=\"EuroLinux 8.6 (Kyiv)\"\n"},
                      {"etc/redhat-release", "EuroLinux release 8.6 (Kyiv)\n"}},
                     "eurolinux",
                     "8.6",
                     "EuroLinux 8.6 (Kyiv)",
                     kRedhat},
        Distribution{"debian",
                     {{"etc/os-release",
                       "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n"},
                      {"etc/debian_version", "12.8\n"}},
                     "debian",
                     "12.8",
                     "Debian GNU/Linux 12 (bookworm)",
                     kDebian},
        Distribution{"debian 5, before os-release",
                     {{"etc/debian_version", "5.0.10\n"}},
                     "debian",
                     "5.0.10",
                     "Debian GNU/Linux 5.0.10",
                     kDebian},
        Distribution{
            "ubuntu",
            {{"etc/lsb-release",
              "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\nDISTRIB_DESCRIPTION=\"Ubuntu 24.04.1 LTS\"\n"},
             {"usr/lib/os-release",
              "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n"},
             {"etc/debian_version", "trixie/sid\n"}},
            "ubuntu",
            "24.04",
            "Ubuntu 24.04.1 LTS",
            kDebian},
        Distribution{
            "ubuntu with lsb-release alone",
            {{"etc/lsb-release",
              "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=14.04\nDISTRIB_DESCRIPTION=\"Ubuntu 14.04 LTS\"\n"}},
            "ubuntu",
            "14.04",
            "Ubuntu 14.04 LTS",
            kDebian},
        Distribution{"mx",
                     {{"etc/lsb-release",
                       "DISTRIB_ID=MX\nDISTRIB_RELEASE=23.2\nDISTRIB_DESCRIPTION=\"MX 23.2 Libretto\"\n"},
                      {"etc/os-release", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=12\n"},
                      {"etc/debian_version", "12.5\n"}},
                     "mx",
                     "23.2",
                     "MX 23.2 Libretto",
                     kDebian},
        Distribution{
            "gardenlinux",
            {{"etc/os-release",
              "ID=debian\nPRETTY_NAME=\"Garden Linux 1443\"\nGARDENLINUX_VERSION=1443.10\nVERSION_ID=1443\n"},
             {"etc/debian_version", "12\n"}},
            "gardenlinux",
            "1443.10",
            "Garden Linux 1443",
            kDebian},
        Distribution{"raspbian",
                     {{"etc/os-release",
                       "ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"11\"\nPRETTY_NAME=\"Raspbian GNU/Linux 11 "
                       "(bullseye)\"\n"}},
                     "raspbian",
                     "11",
                     "Raspbian GNU/Linux 11 (bullseye)",
                     kDebian},
        Distribution{
            "kali",
            {{"etc/os-release",
              "ID=kali\nID_LIKE=debian\nVERSION_ID=\"2024.1\"\nPRETTY_NAME=\"Kali GNU/Linux Rolling\"\n"}},
            "kali",
            "2024.1",
            "Kali GNU/Linux Rolling",
            kDebian},
        Distribution{
            "cumulus",
            {{"etc/os-release", "ID=cumulus-linux\nVERSION_ID=5.6.0\nPRETTY_NAME=\"Cumulus Linux\"\n"}},
            "cumulus-linux",
            "5.6.0",
            "Cumulus Linux",
            kDebian},
        Distribution{"opensuse leap",
                     {{"etc/os-release",
                       "ID=\"opensuse-leap\"\nID_LIKE=\"suse "
                       "opensuse\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"openSUSE Leap 15.5\"\n"}},
                     "opensuse-leap",
                     "15.5",
                     "openSUSE Leap 15.5",
                     kSuse},
        Distribution{
            "sles",
            {{"etc/os-release",
              "ID=\"sles\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 15 SP5\"\n"}},
            "sles",
            "15.5",
            "SUSE Linux Enterprise Server 15 SP5",
            kSuse},
        Distribution{"sle micro, a relative",
                     {{"etc/os-release",
                       "ID=\"sl-micro\"\nID_LIKE=\"suse\"\nVERSION_ID=\"6.0\"\nPRETTY_NAME=\"SUSE Linux "
                       "Micro 6.0\"\n"}},
                     "sl-micro",
                     "6.0",
                     "SUSE Linux Micro 6.0",
                     kSuse},
        Distribution{
            "openeuler",
            {{"etc/os-release",
              "ID=\"openEuler\"\nVERSION_ID=\"22.03\"\nPRETTY_NAME=\"openEuler 22.03 (LTS-SP3)\"\n"}},
            "openeuler",
            "22.03",
            "openEuler 22.03 (LTS-SP3)",
            kEuler},
        Distribution{"bottlerocket",
                     {{"etc/os-release",
                       "ID=bottlerocket\nVERSION_ID=1.19.0\nBUILD_ID=9a2c2b3\nPRETTY_NAME=\"Bottlerocket OS "
                       "1.19.0\"\n"}},
                     "bottlerocket",
                     "1.19.0",
                     "Bottlerocket OS 1.19.0",
                     kNone,
                     "9a2c2b3"},
        Distribution{
            "amazonlinux",
            {{"etc/os-release",
              "ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux 2023\"\n"}},
            "amazonlinux",
            "2023",
            "Amazon Linux 2023",
            kNone},
        Distribution{
            "alpine",
            {{"etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n"},
             {"etc/alpine-release", "3.19.1\n"}},
            "alpine",
            "3.19.1",
            "Alpine Linux v3.19",
            kNone},
        Distribution{
            "alpine edge",
            {{"etc/os-release", "ID=alpine\nVERSION_ID=3.20_alpha\nPRETTY_NAME=\"Alpine Linux edge\"\n"}},
            "alpine",
            "edge",
            "Alpine Linux edge",
            kNone,
            "3.20_alpha"},
        Distribution{"alpine without os-release",
                     {{"etc/alpine-release", "3.2.3\n"}},
                     "alpine",
                     "3.2.3",
                     "Alpine Linux v3.2",
                     kNone},
        Distribution{"wolfi",
                     {{"etc/os-release", "ID=wolfi\nVERSION_ID=20230201\nPRETTY_NAME=\"Wolfi\"\n"}},
                     "wolfi",
                     "20230201",
                     "Wolfi",
                     kNone},
        Distribution{"gentoo",
                     {{"etc/gentoo-release", "Gentoo Base System release 2.15\n"}},
                     "gentoo",
                     "2.15",
                     "Gentoo Base System",
                     kNone},
        Distribution{"busybox",
                     {{"bin/busybox",
                       "\x7f"
                       "ELF...BusyBox v1.36.1 (2023-05-18 22:34:17 UTC)"}},
                     "busybox",
                     "v1.36.1",
                     "BusyBox",
                     kNone},
        Distribution{
            "photon",
            {{"etc/os-release", "ID=photon\nVERSION_ID=5.0\nPRETTY_NAME=\"VMware Photon OS/Linux\"\n"}},
            "photon",
            "5.0",
            "VMware Photon OS/Linux",
            kNone},
        Distribution{
            "wrlinux",
            {{"etc/os-release", "ID=wrlinux\nVERSION_ID=10.21\nPRETTY_NAME=\"Wind River Linux 10.21\"\n"}},
            "wrlinux",
            "10.21",
            "Wind River Linux 10.21",
            kNone},
        Distribution{"lede",
                     {{"etc/openwrt_release", "DISTRIB_ID='LEDE'\nDISTRIB_RELEASE='17.01.4'\n"}},
                     "lede",
                     "17.01.4",
                     "LEDE",
                     kNone},
        Distribution{"openwrt",
                     {{"etc/os-release",
                       "ID=\"openwrt\"\nVERSION_ID=\"22.03.5\"\nPRETTY_NAME=\"OpenWrt "
                       "22.03.5\"\nBUILD_ID=\"r20134\"\n"},
                      {"etc/openwrt_release", "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='22.03.5'\n"}},
                     "openwrt",
                     "22.03.5",
                     "OpenWrt 22.03.5",
                     kNone,
                     "r20134"},
        Distribution{"plcnext",
                     {{"etc/plcnext/arpversion", "Arpversion: 22.0.4\nGIT Commit Hash: 0123abc\n"}},
                     "plcnext",
                     "22.0.4",
                     "PLCnext",
                     kNone,
                     "0123abc"},
        Distribution{"mageia",
                     {{"etc/os-release", "ID=\"mageia\"\nVERSION_ID=\"9\"\nPRETTY_NAME=\"Mageia 9\"\n"},
                      {"etc/redhat-release", "Mageia release 9 (Official) for x86_64\n"}},
                     "mageia",
                     "9",
                     "Mageia 9",
                     kNone},
        Distribution{"azurelinux",
                     {{"etc/os-release",
                       "ID=azurelinux\nNAME=\"Microsoft Azure "
                       "Linux\"\nVERSION=\"3.0.20240624\"\nVERSION_ID=\"3.0\"\nPRETTY_NAME=\"Microsoft Azure "
                       "Linux 3.0\"\n"}},
                     "azurelinux",
                     "3.0",
                     "Microsoft Azure Linux",
                     kNone,
                     "3.0.20240624"},
        Distribution{"flatcar",
                     {{"etc/os-release",
                       "ID=flatcar\nNAME=\"Flatcar Container Linux by "
                       "Kinvolk\"\nVERSION_ID=3815.2.0\nBUILD_ID=2024-02-05-2203\nPRETTY_NAME=\"Flatcar "
                       "Container Linux by Kinvolk 3815.2.0 (Oklo)\"\n"}},
                     "flatcar",
                     "3815.2.0",
                     "Flatcar Container Linux by Kinvolk",
                     kNone,
                     "2024-02-05-2203"},
        Distribution{"one that nobody knows",
                     {{"etc/os-release", " ID = 'void' \n# comment\nPRETTY_NAME='Void'\n"}},
                     "void",
                     "",
                     "Void",
                     kNone},
        Distribution{"quotes and escapes",
                     {{"etc/os-release",
                       "ID=odd\nPRETTY_NAME=\"An \\\"odd\\\" \\$ one\"\nVERSION_ID=\"\"\nnonsense\n=\n"}},
                     "odd",
                     "",
                     "An \"odd\" $ one",
                     kNone}));

TEST(OsImage, WithoutASystemIsAnError) {
  const TempDir root;
  root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  const auto asset = image(root.path())->identify({});
  ASSERT_FALSE(asset);
  EXPECT_NE(asset.error().message().find("no operating system found in '" + root.path().string() + "'"),
            std::string::npos)
      << asset.error().message();
}

TEST(OsImage, FoldersThatCannotBeOpenedAreNamed) {
  const TempDir root;
  const auto file = root.write("file", "");
  EXPECT_NE(os().refusal({.connector = "filesystem", .args = {root / "none"}})
                .find("cannot open '" + (root / "none").string() + "': no such folder"),
            std::string::npos);
  EXPECT_NE(os().refusal({.connector = "fs", .args = {file}}).find("it is no folder"), std::string::npos);
}

// Links are those of the image: absolute ones begin at its root, and none leads out of it.
TEST(OsImage, LinksStayInside) {
  const TempDir root;
  root.write("usr/lib/real-release", "ID=inside\n");
  root.write("etc/passwd", "");
  std::filesystem::create_symlink("/usr/lib/real-release", root / "etc/os-release");
  std::filesystem::create_symlink("../../../../../../../../etc/hostname", root / "etc/hostname");
  std::filesystem::create_symlink("circle", root / "circle");
  const auto asset = image(root.path())->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("platform"), "inside");
  EXPECT_EQ(asset->text("hostname"), "");
  const auto connection = image(root.path());
  EXPECT_EQ(field(fetch(*connection, {.type = "file", .fields = {"exists"}, .args = {{"path", "/circle"}}}),
                  "exists"),
            "false");
}

TEST(OsImage, NamesAndIds) {
  const TempDir root;
  root.write("etc/os-release", "ID=debian\nVARIANT_ID=server\n");
  root.write("etc/hostname", "web1\n");
  root.write(
      "etc/hosts",
      "# comment\n127.0.0.1 localhost\n10.0.0.7 db.example.org web1 web1.example.org # web1.comment.org\n");
  auto asset = image(root.path())->identify({});
  ASSERT_TRUE(asset);
  EXPECT_EQ(asset->text("hostname"), "web1");
  EXPECT_EQ(asset->text("fqdn"), "web1.example.org");
  EXPECT_EQ(asset->text("name"), "web1.example.org");
  EXPECT_EQ(asset->text("ids"), "[]");
  EXPECT_EQ(asset->text("ip"), "");
  EXPECT_EQ(asset->text("labels"), R"({"distro-id":"debian","variant-id":"server"})");

  // Without a machine id, the host keys; the fingerprint is what ssh-keygen -l prints for this key.
  root.write("etc/ssh/ssh_host_ed25519_key.pub",
             "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFkg9FBiafT7T+I0nS0LeqoNJg/kEy2J7pNNIVu+iek3 root@web1\n");
  root.write("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa notbase64!!\n");
  asset = image(root.path())->identify({});
  EXPECT_EQ(
      asset->text("ids"),
      R"(["//platformid.api.mondoo.app/runtime/ssh/hostkey/SHA256-gqbDlIqOe4hPhE5gB4U9m2CAJztA3FqpfB63wChfYwA"])");

  for (const char* none : {"", "uninitialized\n", "00000000000000000000000000000000\n", "too-short\n"}) {
    root.write("etc/machine-id", none);
    EXPECT_NE(image(root.path())->identify({})->text("ids").find("hostkey"), std::string::npos) << none;
  }
  root.write("etc/machine-id", "EE1A5D4B8F0D4B1EA2D1B0B7C9E5F2A3\n");
  EXPECT_EQ(image(root.path())->identify({})->text("ids"),
            R"(["//platformid.api.mondoo.app/machineid/ee1a5d4b8f0d4b1ea2d1b0b7c9e5f2a3"])");
}

TEST(OsImage, SystemResource) {
  const TempDir root;
  root.write("etc/os-release", "ID=debian\n");
  root.write("etc/hostname", "web1\n");
  const auto connection = image(root.path());
  Rows rows = fetch(*connection, {.type = "os"});
  EXPECT_EQ(field(rows, "name"), "web1");
  EXPECT_EQ(field(rows, "uptime"), "null");
  EXPECT_EQ(field(rows, "machineid"), "null");
  EXPECT_EQ(field(rows, "hypervisor"), "null");
  EXPECT_EQ(field(rows, "rebootpending"), "false");
  root.write("etc/machine-info", "CHASSIS=vm\nPRETTY_HOSTNAME=\"The first web server\"\n");
  root.write("var/run/reboot-required", "");
  root.write("proc/uptime", "104949.27 208000.00\n");
  root.write("sys/class/dmi/id/product_name", "VirtualBox\n");
  rows = fetch(*connection, {.type = "os"});
  EXPECT_EQ(field(rows, "name"), "The first web server");
  EXPECT_EQ(field(rows, "uptime"), "104949s");
  EXPECT_EQ(field(rows, "hypervisor"), "VirtualBox");
  EXPECT_EQ(field(rows, "rebootpending"), "true");

  root.write("etc/os-release", "ID=alpine\nPRETTY_NAME=Alpine\n");
  EXPECT_EQ(field(fetch(*image(root.path()), {.type = "os", .fields = {"rebootpending"}}), "rebootpending"),
            "error: whether Alpine waits for a restart is not known: only the Debian family tells");
}

TEST(OsImage, ProcessorOfItsPrograms) {
  const auto with_program = [](std::string head) {
    head.resize(64);
    const TempDir root;
    root.write("etc/os-release", "ID=debian\n");
    root.write("bin/sh", head);
    return image(root.path())->identify({})->text("arch");
  };
  const auto elf = [](int order, char low, char high) {
    std::string head(
        "\x7f"
        "ELF\x02",
        5);
    head += static_cast<char>(order);
    head.resize(18);
    return head + (order == 1 ? std::string{low, high} : std::string{high, low});
  };
  EXPECT_EQ(with_program(elf(1, '\xb7', 0)), "aarch64");
  EXPECT_EQ(with_program(elf(1, 62, 0)), "x86_64");
  EXPECT_EQ(with_program(elf(2, 22, 0)), "s390x");
  EXPECT_EQ(with_program(elf(1, 21, 0)), "ppc64le");
  EXPECT_EQ(with_program("#!/bin/sh"), "");
}

// ---- What it runs in ----

struct HabitatCase {
  const char* label;
  Files files;
  const char* kind;
  const char* runtime;
};
std::ostream& operator<<(std::ostream& out, const HabitatCase& c) { return out << c.label; }

class Habitats : public testing::TestWithParam<HabitatCase> {};

TEST_P(Habitats, AreTold) {
  const HabitatCase& c = GetParam();
  const TempDir root;
  root.write("etc/os-release", "ID=debian\n");
  for (const auto& [path, text] : c.files) root.write(path, text);
  const auto asset = image(root.path())->identify({});
  ASSERT_TRUE(asset);
  EXPECT_EQ(asset->text("kind"), c.kind);
  EXPECT_EQ(asset->text("runtime"), c.runtime);
}

constexpr char kFlagged[] = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n";

INSTANTIATE_TEST_SUITE_P(
    Linux, Habitats,
    testing::Values(
        HabitatCase{"an image", {}, "", ""},
        HabitatCase{"a machine",
                    {{"proc/cpuinfo", "flags\t\t: fpu vme\n"}, {"sys/class/dmi/id/sys_vendor", "LENOVO\n"}},
                    "baremetal",
                    ""},
        HabitatCase{"a chromebook is no cloud",
                    {{"proc/cpuinfo", "flags\t\t: fpu\n"}, {"sys/class/dmi/id/sys_vendor", "Google\n"}},
                    "baremetal",
                    ""},
        HabitatCase{"docker", {{".dockerenv", ""}}, "container", "docker"},
        HabitatCase{"docker by its control group",
                    {{"proc/1/cgroup", "12:pids:/docker/0123\n"}},
                    "container",
                    "docker"},
        HabitatCase{
            "podman", {{"run/.containerenv", ""}, {"proc/1/environ", "PATH=/bin"}}, "container", "podman"},
        HabitatCase{"kubernetes",
                    {{"run/secrets/kubernetes.io/serviceaccount/token", "x"}, {".dockerenv", ""}},
                    "container",
                    "kubernetes"},
        HabitatCase{"kubernetes by its control group",
                    {{"proc/1/cgroup", "0::/kubepods/besteffort/pod1\n"}},
                    "container",
                    "kubernetes"},
        HabitatCase{"lxc", {{"run/systemd/container", "lxc\n"}}, "container", "lxc"},
        HabitatCase{"systemd-nspawn",
                    {{"proc/1/environ", "container=systemd-nspawn"}},
                    "container",
                    "systemd-nspawn"},
        HabitatCase{"kvm",
                    {{"proc/cpuinfo", kFlagged}, {"sys/class/dmi/id/sys_vendor", "QEMU\n"}},
                    "virtualmachine",
                    "kvm"},
        HabitatCase{"vmware",
                    {{"proc/cpuinfo", kFlagged}, {"sys/class/dmi/id/sys_vendor", "VMware, Inc.\n"}},
                    "virtualmachine",
                    "vmware"},
        HabitatCase{"virtualbox",
                    {{"sys/class/dmi/id/product_name", "VirtualBox\n"}},
                    "virtualmachine",
                    "virtualbox"},
        HabitatCase{"hyper-v",
                    {{"sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n"},
                     {"sys/class/dmi/id/product_name", "Virtual Machine\n"}},
                    "virtualmachine",
                    "hyper-v"},
        HabitatCase{"azure",
                    {{"sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n"},
                     {"sys/class/dmi/id/product_name", "Virtual Machine\n"},
                     {"sys/class/dmi/id/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n"}},
                    "virtualmachine",
                    "azure-compute"},
        HabitatCase{"gcp",
                    {{"sys/class/dmi/id/product_name", "Google Compute Engine\n"}},
                    "virtualmachine",
                    "gcp-compute"},
        HabitatCase{"ec2",
                    {{"sys/class/dmi/id/sys_vendor", "Amazon EC2\n"},
                     {"sys/class/dmi/id/product_name", "t3.micro\n"}},
                    "virtualmachine",
                    "aws-ec2"},
        HabitatCase{"ec2 on metal",
                    {{"sys/class/dmi/id/sys_vendor", "Amazon EC2\n"},
                     {"sys/class/dmi/id/product_name", "c5.metal\n"}},
                    "baremetal",
                    "aws-ec2"},
        HabitatCase{"ec2 on xen",
                    {{"sys/hypervisor/type", "xen\n"}, {"sys/hypervisor/uuid", "ec2e1916-9099\n"}},
                    "virtualmachine",
                    "aws-ec2"},
        HabitatCase{"xen",
                    {{"sys/hypervisor/type", "xen\n"}, {"sys/hypervisor/uuid", "11111111\n"}},
                    "virtualmachine",
                    "xen"},
        HabitatCase{"arm guest",
                    {{"proc/cpuinfo", "Features\t: fp asimd\n"},
                     {"proc/device-tree/hypervisor/compatible", "linux,kvm"}},
                    "virtualmachine",
                    "kvm"},
        HabitatCase{
            "wsl",
            {{"proc/cpuinfo", kFlagged}, {"proc/sys/kernel/osrelease", "5.15.0-microsoft-standard-WSL2\n"}},
            "virtualmachine",
            "wsl"},
        HabitatCase{"a guest of nobody known", {{"proc/cpuinfo", kFlagged}}, "virtualmachine", ""}));

// ---- This machine ----

TEST(OsLocal, IdentifiesThisMachine) {
  const auto asset = local()->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  utsname names{};
  ::uname(&names);
  EXPECT_EQ(asset->text("arch"), names.machine);
  EXPECT_EQ(asset->text("hostname"), names.nodename);
  EXPECT_FALSE(asset->text("platform").empty());
  EXPECT_FALSE(asset->text("title").empty());
  EXPECT_FALSE(asset->text("kind").empty());
  EXPECT_NE(asset->text("ids").find("//platformid.api.mondoo.app/"), std::string::npos);
  const std::string again = local()->identify({})->text("ids");
  EXPECT_EQ(asset->text("ids"), again);
}

TEST(OsLocal, SystemResource) {
  const Rows rows = fetch(*local(), {.type = "os", .fields = {"name", "hostname", "machineid", "uptime"}});
  utsname names{};
  ::uname(&names);
  EXPECT_TRUE(field(rows, "hostname").starts_with(names.nodename));
  const Value* up = rows->front().find("uptime");
  ASSERT_EQ(up->type, CNSPEC_TIME);
  EXPECT_GT(std::get<cnspec_time>(up->data).seconds, -62167219200);
  EXPECT_LT(std::get<cnspec_time>(up->data).seconds, 0);
}

TEST(OsLocal, PackagesAreThoseThatDpkgLists) {
  const auto dpkg = run({"dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n"});
  ASSERT_EQ(dpkg.exit_code, 0) << "this test compares with dpkg-query: " << dpkg.err;
  const Rows rows = fetch(*local(), {.type = "packages", .fields = {"name", "version", "arch", "format"}});
  ASSERT_TRUE(rows) << rows.error().message();
  std::string ours;
  std::vector<std::string> lines;
  for (const Row& row : *rows) {
    EXPECT_EQ(row.text("format"), "deb");
    lines.push_back(row.text("name") + " " + row.text("version") + " " + row.text("arch") + "\n");
  }
  std::sort(lines.begin(), lines.end());
  std::vector<std::string> expected;
  std::string line;
  for (std::istringstream in(dpkg.out); std::getline(in, line);) expected.push_back(line + "\n");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(lines, expected);
}

TEST(OsLocal, UsersAndGroupsAreThoseOfTheFiles) {
  const auto connection = local();
  const Rows users =
      fetch(*connection, {.type = "users", .fields = {"name", "uid", "gid", "home", "shell", "group"}});
  ASSERT_TRUE(users) << users.error().message();
  const auto root =
      std::find_if(users->begin(), users->end(), [](const Row& row) { return row.text("uid") == "0"; });
  ASSERT_NE(root, users->end());
  EXPECT_EQ(root->id, "user/0/root");
  EXPECT_EQ(root->type, "user");
  EXPECT_EQ(root->text("name"), "root");
  EXPECT_EQ(root->text("group"), R"({"type":"group","id":"group/0/root"})");

  EXPECT_EQ(field(fetch(*connection, {.type = "user", .id = "user/0/root", .fields = {"name"}}), "name"),
            "root");
  EXPECT_EQ(field(fetch(*connection, {.type = "user", .fields = {"uid"}, .args = {{"name", "root"}}}), "uid"),
            "0");
  EXPECT_EQ(field(fetch(*connection, {.type = "group", .fields = {"name"}, .args = {{"gid", 0}}}), "name"),
            "root");
  EXPECT_NE(error_of(fetch(*connection, {.type = "user", .args = {{"name", "nobody-at-all"}}}))
                .find("cannot find user with name 'nobody-at-all'"),
            std::string::npos);
  EXPECT_NE(error_of(fetch(*connection, {.type = "user", .args = {{"uid", 4242424}}}))
                .find("cannot find user with uid '4242424'"),
            std::string::npos);
}

// What the manifest declares can be had.
TEST(OsManifest, EveryFieldOfEveryResourceIsSent) {
  const auto connection = local();
  const auto& manifest = os().manifest();
  for (const auto& resource : manifest.resources) {
    Ask request{.type = resource.name};
    if (resource.name == "file") request.args = {{"path", "/etc/passwd"}};
    if (resource.name == "file.permissions") request.id = "-rw-r--r--";
    expect_all_fields(*connection, manifest, request);
  }
}

TEST(OsManifest, CostlyFieldsAreSentOnlyWhenAskedFor) {
  const TempDir root;
  root.write("data", "text");
  const Rows rows = fetch(*image(root.path()), {.type = "file", .args = {{"path", "/data"}}});
  EXPECT_EQ(field(rows, "size"), "4");
  EXPECT_EQ(field(rows, "content"), "not sent");
  EXPECT_EQ(field(rows, "user"), "not sent");
}

// ---- Accounts ----

TEST(OsAccounts, LinesOfEveryKind) {
  const TempDir root;
  root.write("etc/passwd",
             "# comment\nroot:x:0:0:root:/root:/bin/bash\nshort:x:1\nno-number:x:one:1::/:/bin/sh\n\n"
             "ann:x:1000:100:Ann:/home/ann:/bin/zsh\nbj\xf6rn:x:1001:100::/home/b:/bin/sh\n"
             "huge:x:99999999999999999999:1::/:/bin/sh\nlast:x:1002:7::/:/bin/sh");
  root.write("etc/group", "root:x:0:\nusers:x:100:root,last,ghost\nbad:x:\n#c:x:5:\n");
  const auto connection = image(root.path());
  const Rows users = fetch(*connection, {.type = "users", .fields = {"name", "group"}});
  ASSERT_TRUE(users) << users.error().message();
  std::string all;
  for (const Row& row : *users) all += row.id + " ";
  EXPECT_EQ(all, "user/0/root user/1000/ann user/1001/bj%F6rn user/1002/last ");
  EXPECT_EQ((*users)[2].text("name"), "bj\xef\xbf\xbdrn");
  EXPECT_EQ((*users)[3].text("group"), "error: cannot find group for gid 7");
  EXPECT_EQ(
      field(fetch(*connection, {.type = "group", .fields = {"members"}, .args = {{"name", "users"}}}),
            "members"),
      R"([{"type":"user","id":"user/0/root"},{"type":"user","id":"user/1000/ann"},{"type":"user","id":"user/1001/bj%F6rn"},{"type":"user","id":"user/1002/last"}])");
}

TEST(OsAccounts, WithoutTheirFile) {
  const TempDir root;
  EXPECT_NE(error_of(fetch(*image(root.path()), {.type = "users"})).find("file '/etc/passwd' not found"),
            std::string::npos);
  ASSERT_EQ(::mkfifo((root / "fifo").c_str(), 0600), 0);
  std::filesystem::create_directory(root / "etc");
  std::filesystem::create_symlink("/fifo", root / "etc/passwd");
  EXPECT_NE(error_of(fetch(*image(root.path()), {.type = "users"}))
                .find("cannot read file '/etc/passwd': it is a named pipe"),
            std::string::npos);
}

// ---- Packages ----

TEST(OsPackages, OfDpkg) {
  const TempDir root;
  root.write("etc/os-release", "ID=ubuntu\nVERSION_ID=18.04\n");
  root.write("var/lib/dpkg/status",
             "Package: base-files\nStatus: install ok installed\nVersion: 9.9+deb9u11\nArchitecture: amd64\n"
             "Description: the base\n More of it\n .\n The end\n\n"
             "Package: gone\nStatus: deinstall ok config-files\nVersion: 1:2.0-1\nArchitecture: all\nSource: "
             "origin (1.0)\n\n\n"
             "Garbage without colon\nPackage: caf\xe9\nVersion: 1\n");
  const auto connection = image(root.path());
  const Rows rows =
      fetch(*connection,
            {.type = "packages",
             .fields = {"name", "version", "epoch", "purl", "status", "installed", "description", "origin"}});
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[0].id, "deb://base-files/9.9+deb9u11/amd64");
  EXPECT_EQ((*rows)[0].text("purl"),
            "pkg:deb/ubuntu/base-files@9.9%2Bdeb9u11?arch=amd64&distro=ubuntu-18.04");
  EXPECT_EQ((*rows)[0].text("description"), "the base\nMore of it\n\nThe end");
  EXPECT_EQ((*rows)[1].text("epoch"), "1");
  EXPECT_EQ((*rows)[1].text("version"), "1:2.0-1");
  EXPECT_EQ((*rows)[1].text("installed"), "false");
  EXPECT_EQ((*rows)[1].text("origin"), "origin");
  EXPECT_EQ((*rows)[2].id, "deb://caf%E9/1/");

  const Rows none =
      fetch(*connection,
            {.type = "package", .fields = {"name", "installed", "version"}, .args = {{"name", "telnetd"}}});
  EXPECT_EQ(field(none, "installed"), "false");
  EXPECT_EQ(field(none, "name"), "telnetd");
  EXPECT_EQ(field(none, "version"), "null");
  EXPECT_EQ(field(fetch(*connection, {.type = "package", .id = "deb://gone/1:2.0-1/all", .fields = {"name"}}),
                  "name"),
            "gone");
}

TEST(OsPackages, OfAnImageWithoutDpkg) {
  const TempDir root;
  root.write("etc/os-release", "ID=debian\n");
  root.write("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\nArchitecture: amd64\n");
  root.write("var/lib/dpkg/status.d/base.md5sums", "00  usr/x\n");
  const Rows rows = fetch(*image(root.path()), {.type = "packages", .fields = {"name", "installed"}});
  EXPECT_EQ(field(rows, "name"), "base-files");
  EXPECT_EQ(field(rows, "installed"), "true");
}

TEST(OsPackages, OfApk) {
  const TempDir root;
  root.write("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n");
  root.write("lib/apk/db/installed",
             "C:Q1abc=\nP:musl\nV:1.2.4_git20230717-r4\nA:x86_64\nT:the musl c "
             "library\no:musl\nt:1700000000\nF:lib\nR:ld.so\n\n"
             "P:busybox\nV:1.36.1-r15\nA:x86_64\n");
  const Rows rows =
      fetch(*image(root.path()),
            {.type = "packages", .fields = {"name", "version", "purl", "description", "status", "epoch"}});
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].id, "apk://musl/1.2.4_git20230717-r4/x86_64");
  EXPECT_EQ((*rows)[0].text("purl"),
            "pkg:apk/alpine/musl@1.2.4_git20230717-r4?arch=x86_64&distro=alpine-3.19.1");
  EXPECT_EQ((*rows)[0].text("description"), "the musl c library");
  EXPECT_EQ((*rows)[1].text("name"), "busybox");
}

TEST(OsPackages, OfASystemWithoutADatabaseThatCanBeRead) {
  const TempDir root;
  root.write("etc/os-release", "ID=gentoo\nPRETTY_NAME=Gentoo\n");
  EXPECT_NE(error_of(fetch(*image(root.path()), {.type = "packages"}))
                .find("packages of Gentoo cannot be listed: found no database of dpkg"),
            std::string::npos);
}

// An rpm database made by rpm itself, in a tree that calls itself a Red Hat.
class RpmPackages : public testing::Test {
 protected:
  void SetUp() override {
    root_.write("etc/os-release", "ID=rhel\nVERSION_ID=9.4\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4\"\n");
    const auto rpm = run({"rpm", "--version"});
    ASSERT_EQ(rpm.exit_code, 0) << "this test needs rpm: " << rpm.err;
    install("tool", "1", "2.5", "3.el9");
    install("library", "", "10.0~rc1", "1");
  }

  // Packages are made once; every test has a database of its own.
  void install(const std::string& name, const std::string& epoch, const std::string& version,
               const std::string& release) {
    const auto spec = work_.write(
        name + ".spec", "Name: " + name + "\nVersion: " + version + "\nRelease: " + release + "\n" +
                            (epoch.empty() ? "" : "Epoch: " + epoch + "\n") + "Summary: the " + name +
                            "\nLicense: none\nVendor: Tests & Sons\nBuildArch: noarch\n"
                            "%description\nAll about it\n%files\n");
    const std::string top = "_topdir " + work_.path().string();
    const auto built =
        run({"rpmbuild", "-bb", "--quiet", "--define", top, "--define", "_db_backend sqlite", spec});
    ASSERT_EQ(built.exit_code, 0) << "this test needs rpmbuild: " << built.err;
    const std::string file = work_ / ("RPMS/noarch/" + name + "-" + version + "-" + release + ".noarch.rpm");
    const auto installed = run({"rpm", "--define", "_db_backend sqlite", "--dbpath", database(), "--justdb",
                                "--nodeps", "--ignorearch", "-i", file});
    ASSERT_EQ(installed.exit_code, 0) << installed.err;
  }

  std::string database() {
    const auto folder = root_ / "usr/lib/sysimage/rpm";
    std::filesystem::create_directories(folder);
    return folder.string();
  }
  std::filesystem::path sqlite() { return root_ / "usr/lib/sysimage/rpm/rpmdb.sqlite"; }

  Rows packages() {
    return fetch(*image(root_.path()),
                 {.type = "packages",
                  .fields = {"name", "version", "epoch", "arch", "vendor", "description", "purl", "origin"}});
  }

  void expect_both(const Rows& rows) {
    ASSERT_TRUE(rows) << rows.error().message();
    ASSERT_EQ(rows->size(), 2u);
    EXPECT_EQ((*rows)[0].id, "rpm://tool/1:2.5-3.el9/noarch");
    EXPECT_EQ((*rows)[0].text("epoch"), "1");
    EXPECT_EQ((*rows)[0].text("vendor"), "Tests & Sons");
    EXPECT_EQ((*rows)[0].text("description"), "the tool");
    EXPECT_EQ((*rows)[0].text("origin"), "tool-2.5-3.el9.src.rpm");
    EXPECT_EQ((*rows)[0].text("purl"),
              "pkg:rpm/redhat/tool@1%3A2.5-3.el9?arch=noarch&distro=rhel-9.4&epoch=1");
    EXPECT_EQ((*rows)[1].text("version"), "10.0~rc1-1");
    EXPECT_EQ((*rows)[1].text("epoch"), "");
  }

  // The two packages' headers, as rpm stores them in either kind of database.
  std::vector<std::string> headers() {
    const auto dump = run({"python3", "-c",
                           "import sqlite3,sys\nfor (b,) in sqlite3.connect(sys.argv[1]).execute('select "
                           "blob from Packages order by hnum'):\n"
                           "  print(b.hex())",
                           sqlite()});
    EXPECT_EQ(dump.exit_code, 0) << dump.err;
    std::vector<std::string> out;
    std::string line;
    for (std::istringstream in(dump.out); std::getline(in, line);) {
      std::string& bytes = out.emplace_back();
      for (std::size_t i = 0; i + 1 < line.size(); i += 2)
        bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    }
    return out;
  }

  // Overwrites the header of the first package.
  void store(const std::string& hex) {
    const auto done = run({"python3", "-c",
                           "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\n"
                           "c.execute('update Packages set blob=? where "
                           "hnum=1',(bytes.fromhex(sys.argv[2]),))\nc.commit()\nc.close()",
                           sqlite(), hex});
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }

  TempDir root_;
  TempDir work_;
};

std::string hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string little(std::uint32_t word) {
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(word >> shift & 0xff);
  return out;
}

// A database of the kind ndb: a page of slots, then the blobs.
std::string ndb(const std::vector<std::string>& headers) {
  std::string slots = "RpmP" + little(0) + little(1) + little(1) +
                      little(static_cast<std::uint32_t>(headers.size() + 1)) + std::string(12, '\0');
  std::string blobs;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const auto number = static_cast<std::uint32_t>(i + 1);
    std::string blob = "BlbS" + little(number) + little(1) +
                       little(static_cast<std::uint32_t>(headers[i].size())) + headers[i];
    blob.resize((blob.size() + 12 + 15) / 16 * 16 - 12);
    blob += little(0) + little(static_cast<std::uint32_t>(headers[i].size())) + "BlbE";
    slots += "Slot" + little(number) + little(static_cast<std::uint32_t>((4096 + blobs.size()) / 16)) +
             little(static_cast<std::uint32_t>(blob.size() / 16));
    blobs += blob;
  }
  while (slots.size() < 4096) slots += "Slot" + std::string(12, '\0');
  return slots + blobs;
}

TEST_F(RpmPackages, OfSqlite) {
  expect_both(packages());
  // Looking leaves nothing behind.
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(database()))
    names.insert(entry.path().filename());
  EXPECT_TRUE(names.contains("rpmdb.sqlite"));
  std::filesystem::remove(root_ / "usr/lib/sysimage/rpm/rpmdb.sqlite-shm");
  std::filesystem::remove(root_ / "usr/lib/sysimage/rpm/rpmdb.sqlite-wal");
  expect_both(packages());
  EXPECT_FALSE(std::filesystem::exists(root_ / "usr/lib/sysimage/rpm/rpmdb.sqlite-shm"));
}

TEST_F(RpmPackages, OfSqliteWhereItWasBefore) {
  std::filesystem::create_directories(root_ / "var/lib");
  std::filesystem::rename(database(), root_ / "var/lib/rpm");
  expect_both(packages());
}

TEST_F(RpmPackages, OfNdb) {
  const std::string database_text = ndb(headers());
  std::filesystem::remove_all(database());
  root_.write("usr/lib/sysimage/rpm/Packages.db", database_text);
  expect_both(packages());
}

TEST_F(RpmPackages, NdbThatIsDamaged) {
  const std::string good = ndb(headers());
  std::filesystem::remove_all(database());
  const auto with = [&](const std::string& bytes) {
    root_.write("usr/lib/sysimage/rpm/Packages.db", bytes);
    return error_of(packages());
  };
  const auto changed = [&](std::size_t at, const std::string& bytes) {
    return std::string(good).replace(at, bytes.size(), bytes);
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_PRED2(
      has, with(""),
      "rpm database '/usr/lib/sysimage/rpm/Packages.db' is damaged: it is shorter than its first 32 bytes");
  EXPECT_PRED2(has, with(changed(0, "XXXX")), "does not begin with RpmP");
  EXPECT_PRED2(has, with(changed(4, little(9))), "has the ndb version 9, expected 0");
  EXPECT_PRED2(has, with(changed(12, little(0xffffffff))), "claims 4294967295 pages");
  EXPECT_PRED2(has, with(good.substr(0, 4000)), "table of slots is cut off");
  EXPECT_PRED2(has, with(changed(32, "Xlot")), "a slot has no mark");
  EXPECT_PRED2(has, with(changed(40, little(0xfffffff0))), "package 1 lies behind the end of the file");
  EXPECT_PRED2(has, with(changed(44, little(0xffffffff))), "package 1 claims 68719476720 bytes");
  EXPECT_PRED2(has, with(changed(44, little(1))), "package 1 claims 16 bytes");
  EXPECT_PRED2(has, with(changed(4096, "XlbS")), "package 1 has a wrong head");
  EXPECT_PRED2(has, with(changed(4096 + 12, little(0xffffffff))), "package 1 has a wrong head");
  EXPECT_PRED2(has, with(changed(4096 + 12, little(7))), "package 1 has a header of the wrong size");
}

TEST_F(RpmPackages, HeadersThatLie) {
  const std::string good = headers().at(0);
  const auto with = [&](const std::string& header) {
    store(hex(header));
    return error_of(packages());
  };
  const std::string wrong = "is damaged: a package's header has the wrong size, or no name";
  EXPECT_NE(with("").find(wrong), std::string::npos);
  EXPECT_NE(with(good.substr(0, good.size() - 1)).find(wrong), std::string::npos);
  EXPECT_NE(with("\xff\xff\xff\xff\xff\xff\xff\xff").find(wrong), std::string::npos);
  EXPECT_NE(with(std::string(8, '\0')).find(wrong), std::string::npos);
  // Every entry of the index points behind the data.
  std::string outside = good;
  const auto tags = static_cast<std::size_t>(static_cast<unsigned char>(good[2])) << 8 |
                    static_cast<unsigned char>(good[3]);
  for (std::size_t i = 0; i < tags; ++i) outside.replace(8 + 16 * i + 8, 4, "\x7f\xff\xff\xff");
  EXPECT_NE(with(outside).find(wrong), std::string::npos);
  // No string has an end.
  std::string endless = good;
  std::replace(endless.begin() + static_cast<long>(8 + 16 * tags), endless.end(), '\0', 'x');
  EXPECT_NE(with(endless).find(wrong), std::string::npos);
}

TEST_F(RpmPackages, OtherFiles) {
  std::filesystem::remove_all(database());
  root_.write("usr/lib/sysimage/rpm/rpmdb.sqlite",
              "this is no database, but it is long enough to be looked at as one");
  EXPECT_NE(error_of(packages())
                .find("rpm database '/usr/lib/sysimage/rpm/rpmdb.sqlite' is damaged: file is not a database"),
            std::string::npos)
      << error_of(packages());
  std::filesystem::remove_all(database());
  ASSERT_EQ(::mkfifo((database() + "/rpmdb.sqlite").c_str(), 0600), 0);
  EXPECT_NE(
      error_of(packages()).find("cannot read file '/usr/lib/sysimage/rpm/rpmdb.sqlite': it is a named pipe"),
      std::string::npos);
  std::filesystem::remove_all(database());
  root_.write("var/lib/rpm/Packages", "x");
  EXPECT_NE(error_of(packages()).find("rpm database '/var/lib/rpm/Packages' is a Berkeley DB"),
            std::string::npos);
}

// ---- Files ----

TEST(OsFiles, AreDescribed) {
  const TempDir root;
  root.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  root.write("etc/group", "root:x:0:\n");
  root.write("dir/data", "some text", 0640);
  const auto connection = image(root.path());
  const Rows rows =
      fetch(*connection,
            {.type = "file",
             .fields = {"path", "basename", "dirname", "exists", "size", "empty", "content", "permissions"},
             .args = {{"path", "/dir/data"}}});
  EXPECT_EQ(field(rows, "path"), "/dir/data");
  EXPECT_EQ(field(rows, "basename"), "data");
  EXPECT_EQ(field(rows, "dirname"), "/dir");
  EXPECT_EQ(field(rows, "exists"), "true");
  EXPECT_EQ(field(rows, "size"), "9");
  EXPECT_EQ(field(rows, "empty"), "false");
  EXPECT_EQ(field(rows, "content"), "some text");
  EXPECT_EQ(field(rows, "permissions"), R"({"type":"file.permissions","id":"-rw-r-----"})");
  // By its id, too.
  EXPECT_EQ(field(fetch(*connection, {.type = "file", .id = "/dir/data", .fields = {"size"}}), "size"), "9");
}

TEST(OsFiles, PermissionsAreReadFromTheirText) {
  const auto connection = local();
  const auto permissions = [&](const char* text, const char* name) {
    return field(fetch(*connection, {.type = "file.permissions", .id = text, .fields = {name}}), name);
  };
  EXPECT_EQ(permissions("-rw-r--r--", "mode"), "420");
  EXPECT_EQ(permissions("drwxrwxrwt", "mode"), "1023");
  EXPECT_EQ(permissions("drwxrwxrwt", "sticky"), "true");
  EXPECT_EQ(permissions("drwxrwxrwt", "isDirectory"), "true");
  EXPECT_EQ(permissions("-rwsr-Sr-x", "suid"), "true");
  EXPECT_EQ(permissions("-rwsr-Sr-x", "sgid"), "true");
  EXPECT_EQ(permissions("-rwsr-Sr-x", "group_executable"), "false");
  EXPECT_EQ(permissions("-rwsr-Sr-x", "string"), "-rwsr-Sr-x");
  for (const char* wrong : {"", "rw", "-rw-r--r-q", "xrw-r--r--", "-rw-r--r--+", "-tw-r--r--"}) {
    EXPECT_NE(error_of(fetch(*connection, {.type = "file.permissions", .id = wrong}))
                  .find("is asked for by what ls prints"),
              std::string::npos)
        << wrong;
  }
}

TEST(OsFiles, ThatAreNotWhatTheySeem) {
  const TempDir root;
  ASSERT_EQ(::mkfifo((root / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("nowhere", root / "dangling");
  std::filesystem::create_directory(root / "dir");
  root.write("raw", "\xff\xfe text");
  std::filesystem::resize_file(root.write("huge", ""), (64u << 20) + 1);
  const auto connection = image(root.path());
  const auto content = [&](const char* path) {
    return field(fetch(*connection, {.type = "file", .fields = {"content"}, .args = {{"path", path}}}),
                 "content");
  };
  EXPECT_EQ(content("/none"), "error: file '/none' not found");
  EXPECT_EQ(content("/dangling"), "error: file '/dangling' not found");
  EXPECT_EQ(content("/pipe"), "error: cannot read file '/pipe': it is a named pipe");
  EXPECT_EQ(content("/dir"), "error: cannot read file '/dir': it is a directory");
  EXPECT_EQ(content("/huge"), "error: cannot read file '/huge': it is larger than 64 MiB");
  EXPECT_EQ(content("/raw"), "\xef\xbf\xbd\xef\xbf\xbd text");

  const auto here = local();
  EXPECT_EQ(field(fetch(*here, {.type = "file", .fields = {"content"}, .args = {{"path", "/dev/zero"}}}),
                  "content"),
            "error: cannot read file '/dev/zero': it is a character device");
  // Says that its size is 0, and is read all the same.
  EXPECT_NE(field(fetch(*here, {.type = "file", .fields = {"content"}, .args = {{"path", "/proc/version"}}}),
                  "content")
                .find("Linux"),
            std::string::npos);

  EXPECT_NE(error_of(fetch(*here, {.type = "file"})).find("file needs the argument path"), std::string::npos);
  EXPECT_NE(error_of(fetch(*here, {.type = "file", .args = {{"path", "etc/passwd"}}}))
                .find("file needs a path that begins with /, found 'etc/passwd'"),
            std::string::npos);
}

TEST(OsFiles, ThatMayNotBeRead) {
  const TempDir root;
  root.write("etc/os-release", "ID=debian\n", 0000);
  root.write("secret", "x", 0000);
  const auto connection = image(root.path());
  const std::string content = field(
      fetch(*connection, {.type = "file", .fields = {"content"}, .args = {{"path", "/secret"}}}), "content");
  // Root may read everything.
  EXPECT_EQ(content, ::geteuid() == 0 ? "x" : "error: cannot read file '/secret': Permission denied");
}

// ---- Limits ----

TEST(OsCalls, StopWhenCancelled) {
  const auto connection = local();
  const auto cancelled = std::make_shared<std::atomic<bool>>(true);
  provider::Limits limits;
  limits.cancelled = cancelled;
  for (const char* type : {"users", "groups", "packages"}) {
    const auto rows = fetch(*connection, {.type = type}, limits);
    ASSERT_FALSE(rows) << type;
    EXPECT_EQ(rows.error().kind(), ErrorKind::kCancelled) << rows.error().message();
  }
}

TEST(OsFiles, HugeLinesAndCutTexts) {
  const TempDir root;
  root.write("etc/os-release", "ID=debian\nPRETTY_NAME=\"" + std::string(1 << 20, 'x'));
  root.write("etc/passwd",
             std::string(1 << 20, 'y') + "\nroot:x:0:0:" + std::string(1 << 20, 'z') + ":/root:/bin/sh");
  root.write("var/lib/dpkg/status", "Package: cut\nVersion: 1\nDescription: " + std::string(1 << 20, 'd') +
                                        "\n" + std::string(1000, '\n') + "Pack");
  const auto connection = image(root.path());
  const auto asset = connection->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("platform"), "debian");
  EXPECT_EQ(field(fetch(*connection, {.type = "users", .fields = {"name"}}), "name"), "root");
  EXPECT_EQ(field(fetch(*connection, {.type = "packages", .fields = {"name"}}), "name"), "cut");
}

}  // namespace
}  // namespace cnspec::test
