// CPU quotas of cgroups: of the process's own group and of those around it, in both versions of the
// interface.
#include <filesystem>
#include <fstream>

#include "lib/core/thread_pool.h"
#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

namespace fs = std::filesystem;

/** A copy of what Linux shows below /sys/fs/cgroup and in /proc/self/cgroup. */
class Groups {
 public:
  explicit Groups(const std::string& membership) : root_(fs::temp_directory_path() / unique_name()) {
    write("membership", membership);
  }
  ~Groups() { fs::remove_all(root_); }
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  Groups& with(const std::string& file, const std::string& text) {
    write("groups/" + file, text + "\n");
    return *this;
  }
  int cpus() const { return quota_cpus((root_ / "groups").string(), (root_ / "membership").string()); }

 private:
  static std::string unique_name() {
    static int count = 0;
    return concat("padless-quota-", std::random_device{}(), "-", count++);
  }
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  const fs::path root_;
};

void check_cpus(const Groups& groups, int expected, const std::string& what) {
  check(groups.cpus() == expected, concat(what, ": ", groups.cpus(), " CPUs, expected ", expected));
}

void test_version_2() {
  check_cpus(Groups("0::/\n").with("cpu.max", "150000 100000"), 2, "a container's own root");
  check_cpus(Groups("0::/\n").with("cpu.max", "max 100000"), 0, "no quota");
  check_cpus(Groups("0::/system.slice/a.service\n").with("system.slice/a.service/cpu.max", "300000 100000"),
             3, "a service");
  check_cpus(Groups("0::/user.slice/a/b\n")
                 .with("user.slice/cpu.max", "200000 100000")
                 .with("user.slice/a/cpu.max", "400000 100000")
                 .with("user.slice/a/b/cpu.max", "max 100000"),
             2, "the least of the groups around");
  check_cpus(Groups("0::/user.slice/a\n").with("user.slice/b/cpu.max", "100000 100000"), 0, "a neighbour's");
  check_cpus(Groups("0::/../elsewhere\n").with("cpu.max", "100000 100000"), 1, "a group that is not seen");
}

void test_version_1() {
  const std::string membership = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/docker/x\n";
  check_cpus(
      Groups(membership).with("cpu/cpu.cfs_quota_us", "250000").with("cpu/cpu.cfs_period_us", "100000"), 3,
      "a container that sees its own group only");
  check_cpus(Groups(membership)
                 .with("cpu/docker/x/cpu.cfs_quota_us", "50000")
                 .with("cpu/docker/x/cpu.cfs_period_us", "100000")
                 .with("cpu/cpu.cfs_quota_us", "-1")
                 .with("cpu/cpu.cfs_period_us", "100000"),
             1, "a group below the root");
  check_cpus(Groups(membership).with("cpu/cpu.cfs_quota_us", "-1").with("cpu/cpu.cfs_period_us", "100000"), 0,
             "no quota");
}

void test_nothing_to_read() {
  check(quota_cpus("/nowhere", "/nowhere/cgroup") == 0, "no cgroups");
  check_cpus(Groups("no colons\none:\n::\n").with("cpu.max", "broken"), 0, "what is no such file");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_version_2();
  test_version_1();
  test_nothing_to_read();
  return finish();
}
