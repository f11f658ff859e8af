#include "darkroom/base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <vector>

#include "base/temporary_file.h"
#include "darkroom/base/error.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <class Kind>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Kind& error) {
    return error.what();
  }
  return "no error of this kind";
}

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::path(testing::TempDir()) / "darkroom-file-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write_message(const fs::path& file, bool overwrite = false) const {
    return message_of<OutputError>([&] { write_file(file, bytes_of("new"), overwrite); });
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

TEST_F(FileTest, WritesWhatReadReturns) {
  std::string text(3 << 20, 'x');  // more than a piece
  text[5] = '\0';
  text += "end";
  write_file(folder_ / "a", bytes_of(text));
  EXPECT_EQ(read_file(folder_ / "a"), text);
  write_file(folder_ / "empty", {});
  EXPECT_EQ(read_file(folder_ / "empty"), "");
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FileTest, WritesIntoTheCurrentFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  write_file("a", bytes_of("here"));
  fs::current_path(before);
  EXPECT_EQ(read_file(folder_ / "a"), "here");
}

TEST_F(FileTest, ObeysTheUmask) {
  const mode_t before = umask(027);
  write_file(folder_ / "a", bytes_of("x"));
  write_file(folder_ / "b", bytes_of("x"), true);
  umask(before);
  struct stat status;
  for (const char* name : {"a", "b"}) {
    ASSERT_EQ(stat((folder_ / name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u) << name;
  }
}

TEST_F(FileTest, NeverOverwritesUnlessTold) {
  write_file(folder_ / "a", bytes_of("old"));
  EXPECT_EQ(write_message(folder_ / "a"), "cannot write '" + (folder_ / "a").string() + "': exists already");
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  write_file(folder_ / "a", bytes_of("new"), true);
  EXPECT_EQ(read_file(folder_ / "a"), "new");
  write_file(folder_ / "b", bytes_of("first"), true);
  EXPECT_EQ(read_file(folder_ / "b"), "first");
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FileTest, NamedTemporaryNeverOverwritesEither) {
  write_file(folder_ / "a", bytes_of("old"));
  {
    TemporaryFile temporary(folder_ / "a", TemporaryFile::Kind::named);
    temporary.write(bytes_of("new"));
    EXPECT_EQ(entries(), 2u);
    EXPECT_THROW(temporary.publish(), OutputError);
  }
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, NamedTemporaryBecomesTheFile) {
  const std::string longest(255, 'n');  // the temporary's name must not be longer
  TemporaryFile temporary(folder_ / longest, TemporaryFile::Kind::named);
  temporary.write(bytes_of("new"));
  temporary.publish();
  EXPECT_EQ(read_file(folder_ / longest), "new");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, UnnamedTemporaryIsNotToBeFound) {
  TemporaryFile temporary(folder_ / "a", TemporaryFile::Kind::unnamed);
  temporary.write(bytes_of("new"));
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, WriteNamesTheCause) {
  EXPECT_EQ(write_message(folder_ / "none" / "a"),
            "cannot write '" + (folder_ / "none" / "a").string() + "': no such file or folder");
  write_file(folder_ / "a", bytes_of("old"));
  EXPECT_NE(write_message(folder_ / "a" / "b").find("a part of the path is not a folder"), std::string::npos);
  EXPECT_NE(write_message(folder_ / "").find("is a folder"), std::string::npos);
  EXPECT_NE(write_message(folder_ / std::string(256, 'n')).find("file name too long"), std::string::npos);
  fs::create_directory(folder_ / "sub");
  EXPECT_NE(write_message(folder_ / "sub", true).find("is not a regular file"), std::string::npos);
  EXPECT_NE(write_message("/dev/full").find("exists already"), std::string::npos);
  EXPECT_NE(write_message("/proc/darkroom.png"), "no error of this kind");
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FileTest, OverwriteReplacesNoPipe) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_NE(write_message(folder_ / "pipe", true).find("is not a regular file"), std::string::npos);
  EXPECT_TRUE(fs::is_fifo(folder_ / "pipe"));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, PermissionIsNamed) {
  fs::permissions(folder_, fs::perms(0555));
  if (geteuid() == 0) {
    ASSERT_EQ(seteuid(65534), 0);  // root may write anywhere
  }
  const std::string message = write_message(folder_ / "a");
  if (getuid() == 0) {
    ASSERT_EQ(seteuid(0), 0);
  }
  fs::permissions(folder_, fs::perms(0755));
  EXPECT_NE(message.find("permission denied"), std::string::npos) << message;
}

/// A limit on the size of files makes write(2) fail as a full disk does: after a part has been written.
TEST_F(FileTest, AFailedWriteLeavesNothing) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string text(2000, 'x');
  std::vector<std::string> messages;
  for (const bool overwrite : {false, true})
    messages.push_back(
        message_of<OutputError>([&] { write_file(folder_ / "a", bytes_of(text), overwrite); }));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  for (const std::string& message : messages)
    EXPECT_EQ(message, "cannot write '" + (folder_ / "a").string() + "': file too large");
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, ReadNamesTheCause) {
  const auto message = [](const fs::path& file) { return message_of<UsageError>([&] { read_file(file); }); };
  EXPECT_EQ(message(folder_ / "a"), "cannot read '" + (folder_ / "a").string() + "': no such file or folder");
  EXPECT_EQ(message(folder_), "cannot read '" + folder_.string() + "': is a folder");
}

TEST_F(FileTest, Sha256OfBytesAndFiles) {
  // FIPS 180-4 examples.
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256(bytes_of("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1000000, 'a');
  const std::string expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  EXPECT_EQ(sha256(bytes_of(million)), expected);
  write_file(folder_ / "a", bytes_of(million + million));
  EXPECT_EQ(sha256_of_file(folder_ / "a"), sha256(bytes_of(million + million)));
  EXPECT_THROW(sha256_of_file(folder_ / "none"), ModelError);
  EXPECT_THROW(sha256_of_file(folder_), ModelError);
}

}  // namespace
}  // namespace darkroom
