#include "tests/sim/sim_file_system.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/utilities/checkpoint.h>

#include <map>
#include <memory>
#include <set>
#include <string>

namespace flotilla::sim {
namespace {

using rocksdb::IOStatus;

const rocksdb::IOOptions kIo;
const rocksdb::FileOptions kFile;

void Ok(const rocksdb::Status& status) { ASSERT_TRUE(status.ok()) << status.ToString(); }

void Put(SimFileSystem& files, const std::string& path, const std::string& text, bool sync) {
  Ok(rocksdb::WriteStringToFile(&files, text, path, sync));
}

std::string Get(SimFileSystem& files, const std::string& path) {
  std::string text;
  const IOStatus status = rocksdb::ReadFileToString(&files, path, &text);
  return status.ok()
             ? text
             : "(" + std::string(status.code() == rocksdb::Status::kIOError ? "error" : "none") +
                   ")";
}

void SyncDirectory(SimFileSystem& files, const std::string& path) {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  Ok(files.NewDirectory(path, kIo, &directory, nullptr));
  Ok(directory->Fsync(kIo, nullptr));
}

void CutAndRestart(SimFileSystem& files, Random& random) {
  files.PowerCut(random);
  files.PowerOn();
}

TEST(SimFileSystem, ContentsSurviveOnlyBySync) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    SimFileSystem files;
    Put(files, "/synced", "abc", true);
    Put(files, "/unsynced", std::string(1024, 'x'), false);
    SyncDirectory(files, "/");
    CutAndRestart(files, random);
    EXPECT_EQ(Get(files, "/synced"), "abc");
    seen.insert(Get(files, "/unsynced"));
  }
  EXPECT_TRUE(seen.contains(""));
  EXPECT_TRUE(seen.contains(std::string(1024, 'x')));
  // Holes: the second sector survived, the first did not.
  EXPECT_TRUE(seen.contains(std::string(512, '\0') + std::string(512, 'x')));
}

TEST(SimFileSystem, AnOverwriteSurvivesBySector) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    SimFileSystem files;
    Put(files, "/f", std::string(1024, 'a'), true);
    SyncDirectory(files, "/");
    std::unique_ptr<rocksdb::FSRandomRWFile> file;
    Ok(files.NewRandomRWFile("/f", kFile, &file, nullptr));
    Ok(file->Write(256, std::string(512, 'b'), kIo, nullptr));
    CutAndRestart(files, random);
    seen.insert(Get(files, "/f"));
    EXPECT_FALSE(file->Write(0, "z", kIo, nullptr).ok()) << "the handle must be dead";
  }
  const std::string a(256, 'a');
  const std::string b(256, 'b');
  EXPECT_EQ(seen,
            (std::set<std::string>{a + a + a + a, a + b + a + a, a + a + b + a, a + b + b + a}));
}

// As Linux has it: the pages of a failed sync count as clean.
TEST(SimFileSystem, AFailedSyncLosesWhatOnlyWritingAgainBringsBack) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    SimFileSystem files;
    Put(files, "/f", std::string(1024, 'a'), true);
    SyncDirectory(files, "/");
    std::unique_ptr<rocksdb::FSRandomRWFile> file;
    Ok(files.NewRandomRWFile("/f", kFile, &file, nullptr));
    Ok(file->Write(0, std::string(1500, 'b'), kIo, nullptr));
    files.AddFault({.operation = DiskOperation::kSync, .path_contains = "/f"});
    EXPECT_FALSE(file->Sync(kIo, nullptr).ok());
    EXPECT_EQ(files.faults_met(), 1u);
    EXPECT_EQ(Get(files, "/f"), std::string(1500, 'b')) << "still to be read";
    Ok(file->Write(512, std::string(512, 'c'), kIo, nullptr));
    Ok(file->Sync(kIo, nullptr));
    file.reset();
    CutAndRestart(files, random);
    EXPECT_EQ(Get(files, "/f"),
              std::string(512, 'a') + std::string(512, 'c') + std::string(1500 - 1024, '\0'));
  }
}

TEST(SimFileSystem, ACutMayUndoATruncation) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    SimFileSystem files;
    Put(files, "/f", std::string(1000, 'a'), true);
    SyncDirectory(files, "/");
    Ok(files.Truncate("/f", 10, kIo, nullptr));
    EXPECT_EQ(Get(files, "/f"), std::string(10, 'a'));
    CutAndRestart(files, random);
    seen.insert(Get(files, "/f"));
  }
  EXPECT_EQ(seen, (std::set<std::string>{std::string(10, 'a'), std::string(1000, 'a')}));
}

TEST(SimFileSystem, NamesSurviveOnlyByDirectorySyncAndInOrder) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    SimFileSystem files;
    Put(files, "/old", "old", true);
    SyncDirectory(files, "/");
    Put(files, "/a", "a", true);
    Ok(files.RenameFile("/old", "/new", kIo, nullptr));
    Ok(files.DeleteFile("/a", kIo, nullptr));
    CutAndRestart(files, random);
    std::vector<std::string> names;
    Ok(files.GetChildren("/", kIo, &names, nullptr));
    std::string joined;
    for (const std::string& name : names) joined += name + " ";
    seen.insert(joined);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"old ", "a old ", "a new ", "new "}));
}

TEST(SimFileSystem, ARenameAcrossDirectoriesSurvivesInBothOrNeither) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    SimFileSystem files;
    Ok(files.CreateDir("/x", kIo, nullptr));
    Ok(files.CreateDir("/y", kIo, nullptr));
    Put(files, "/x/f", "f", true);
    SyncDirectory(files, "/");
    SyncDirectory(files, "/x");
    Ok(files.RenameFile("/x/f", "/y/f", kIo, nullptr));
    CutAndRestart(files, random);
    seen.insert(Get(files, "/x/f") + Get(files, "/y/f"));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"f(error)", "(error)f"}));
}

TEST(SimFileSystem, SyncingOneDirectoryOfManyRenamesKeepsThemAll) {
  SimFileSystem files;
  Ok(files.CreateDir("/x", kIo, nullptr));
  SyncDirectory(files, "/");
  for (int i = 0; i < 5; ++i) {
    Put(files, "/x/f", "f", true);
    Ok(files.RenameFile("/x/f", "/f", kIo, nullptr));
    Ok(files.RenameFile("/f", "/x/g", kIo, nullptr));
  }
  SyncDirectory(files, "/");
  Random random(1);
  CutAndRestart(files, random);
  EXPECT_EQ(Get(files, "/x/g"), "f");
}

TEST(SimFileSystem, HardLinksShareContent) {
  SimFileSystem files;
  Put(files, "/a", "text", true);
  Ok(files.LinkFile("/a", "/b", kIo, nullptr));
  std::uint64_t links = 0;
  Ok(files.NumFileLinks("/a", kIo, &links, nullptr));
  EXPECT_EQ(links, 2u);
  EXPECT_EQ(files.used_bytes(), 4u);
  Ok(files.DeleteFile("/a", kIo, nullptr));
  EXPECT_EQ(Get(files, "/b"), "text");
  Ok(files.DeleteFile("/b", kIo, nullptr));
  EXPECT_EQ(files.used_bytes(), 0u);
}

TEST(SimFileSystem, ReuseOverwritesWithoutTruncating) {
  SimFileSystem files;
  Put(files, "/old", "0123456789", true);
  std::unique_ptr<rocksdb::FSWritableFile> file;
  Ok(files.ReuseWritableFile("/new", "/old", kFile, &file, nullptr));
  Ok(file->Append("ab", kIo, nullptr));
  EXPECT_EQ(Get(files, "/new"), "ab23456789");
  EXPECT_TRUE(files.FileExists("/old", kIo, nullptr).IsNotFound());
}

TEST(SimFileSystem, AFullDiskRefusesGrowthOnly) {
  SimFileSystem files;
  Put(files, "/f", std::string(100, 'a'), true);
  files.SetCapacity(100);
  EXPECT_TRUE(rocksdb::WriteStringToFile(&files, "b", "/g").IsNoSpace());
  std::unique_ptr<rocksdb::FSRandomRWFile> file;
  Ok(files.NewRandomRWFile("/f", kFile, &file, nullptr));
  Ok(file->Write(50, std::string(50, 'c'), kIo, nullptr));
  EXPECT_TRUE(file->Write(51, std::string(50, 'd'), kIo, nullptr).IsNoSpace());
  Ok(files.DeleteFile("/f", kIo, nullptr));
  Put(files, "/g", "b", true);
}

TEST(SimFileSystem, FaultsHooksAndLocks) {
  SimFileSystem files;
  std::uint64_t charged = 0;
  files.SetLatencyHook([&](DiskOperation operation, std::uint64_t bytes) {
    if (operation == DiskOperation::kWrite) charged += bytes;
  });
  files.AddFault({.operation = DiskOperation::kSync, .path_contains = "/f", .skip = 1});
  Put(files, "/f", "12345", true);
  EXPECT_EQ(charged, 5u);
  EXPECT_TRUE(rocksdb::WriteStringToFile(&files, "x", "/f", true).IsIOError());
  Put(files, "/f", "x", true);

  rocksdb::FileLock* lock = nullptr;
  rocksdb::FileLock* second = nullptr;
  Ok(files.LockFile("/LOCK", kIo, &lock, nullptr));
  EXPECT_FALSE(files.LockFile("//LOCK", kIo, &second, nullptr).ok());
  files.Kill();
  EXPECT_FALSE(files.FileExists("/f", kIo, nullptr).ok());
  files.PowerOn();
  EXPECT_EQ(Get(files, "/f"), "x");
  Ok(files.LockFile("/LOCK", kIo, &second, nullptr));
  Ok(files.UnlockFile(lock, kIo, nullptr));  // of the dead process: changes nothing
  EXPECT_FALSE(files.LockFile("/LOCK", kIo, &lock, nullptr).ok());
  Ok(files.UnlockFile(second, kIo, nullptr));

  files.FlipBits("/f", 0, 0x01);
  EXPECT_EQ(Get(files, "/f"), "y");
}

// --- RocksDB on it -----------------------------------------------------------------------------

struct Database {
  explicit Database(SimFileSystem& files) {
    env = rocksdb::NewCompositeEnv(
        std::shared_ptr<rocksdb::FileSystem>(&files, [](rocksdb::FileSystem*) {}));
    rocksdb::Options options;
    options.env = env.get();
    options.create_if_missing = true;
    options.disable_auto_compactions = true;
    options.avoid_flush_during_shutdown = true;
    options.write_buffer_size = 256 << 10;
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    rocksdb::DB* opened = nullptr;
    status = rocksdb::DB::Open(options, "/node/db", &opened);
    db.reset(opened);
  }

  std::unique_ptr<rocksdb::Env> env;
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::Status status;
};

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

std::unique_ptr<SimFileSystem> NewDisk() {
  auto files = std::make_unique<SimFileSystem>();
  Ok(files->CreateDir("/node", kIo, nullptr));
  Ok(files->CreateDir("/node/db", kIo, nullptr));
  SyncDirectory(*files, "/");
  SyncDirectory(*files, "/node");
  return files;
}

TEST(SimFileSystem, RocksDbKeepsWhatItFlushed) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed);
    const auto files = NewDisk();
    {
      Database database(*files);
      Ok(database.status);
      for (int i = 0; i < 1000; ++i) {
        Ok(database.db->Put(WithoutLog(), "key" + std::to_string(i), std::string(100, 'v')));
      }
      Ok(database.db->Flush({}));
      Ok(database.db->Put(WithoutLog(), "unflushed", "v"));
      files->PowerCut(random);
    }
    files->PowerOn();
    Database database(*files);
    Ok(database.status);
    std::string value;
    for (int i = 0; i < 1000; ++i) {
      Ok(database.db->Get({}, "key" + std::to_string(i), &value));
    }
    EXPECT_TRUE(database.db->Get({}, "unflushed", &value).IsNotFound());
  }
}

TEST(SimFileSystem, RocksDbCheckpointsByHardLinks) {
  const auto files = NewDisk();
  Database database(*files);
  Ok(database.status);
  Ok(database.db->Put(WithoutLog(), "key", "value"));
  rocksdb::Checkpoint* created = nullptr;
  Ok(rocksdb::Checkpoint::Create(database.db.get(), &created));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(created);
  Ok(checkpoint->CreateCheckpoint("/node/checkpoint"));
  std::vector<std::string> names;
  Ok(files->GetChildren("/node/checkpoint", kIo, &names, nullptr));
  bool linked = false;
  for (const std::string& name : names) {
    std::uint64_t links = 0;
    Ok(files->NumFileLinks("/node/checkpoint/" + name, kIo, &links, nullptr));
    linked |= links == 2;
  }
  EXPECT_TRUE(linked);
}

TEST(SimFileSystem, TheSameRunLeavesTheSameTrace) {
  std::set<std::uint64_t> traces;
  for (int run = 0; run < 3; ++run) {
    Random random(7);
    const auto files = NewDisk();
    {
      Database database(*files);
      Ok(database.status);
      for (int i = 0; i < 3000; ++i) {
        Ok(database.db->Put(WithoutLog(), "key" + std::to_string(i), std::string(50, 'v')));
        if (i % 1000 == 999) Ok(database.db->Flush({}));
      }
      Ok(database.db->CompactRange({}, nullptr, nullptr));
      files->PowerCut(random);
    }
    files->PowerOn();
    Database database(*files);
    Ok(database.status);
    traces.insert(files->trace_hash());
  }
  EXPECT_EQ(traces.size(), 1u);
}

}  // namespace
}  // namespace flotilla::sim
