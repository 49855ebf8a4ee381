// Transcripts: what a cluster does, word for word, kept in tests/data/raft and compared.
//
// A transcript is a list of commands (lines that start with "> ") each followed by what came of it.
// `raft_core_transcript_test --rewrite` writes what comes of them now; look at the difference.
//
//   start voters=1,2,3 [learners=4] [disks=manual] [quiesce=TICKS]    begins anew
//   node ID                 adds a node with an empty disk
//   tick ID [TIMES]         time passes on a node
//   elect ID | settle | rounds N        without words: to get somewhere
//   deliver [A->B]          hands over the messages that are on the network now (between A and B)
//   lose [A->B]             loses them
//   repeat A->B             hands the first of them over, and keeps it
//   write ID                the oldest write of a node becomes durable
//   crash ID [KEPT] | restart ID
//   propose ID TEXT | read ID CONTEXT | change ID voters=... [learners=...] | transfer ID TARGET
//   compact ID INDEX | snapshot ID [fails] | install ID
//   isolate ID... | heal
//   status | log ID

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/raft/core/cluster.h"
#include "tests/raft/core/describe.h"

namespace flotilla::raft {
namespace {

constexpr char kDirectory[] = "tests/data/raft";

class Player {
 public:
  // What comes of a command, in lines.
  std::string Play(const std::string& line) {
    output_.clear();
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    Do(verb, words);
    return output_.empty() ? "(nothing)\n" : output_;
  }

 private:
  struct Route {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    bool Fits(const Message& message) const {
      return (from == 0 || message.from == N(from)) && (to == 0 || message.to == N(to));
    }
  };

  static std::vector<std::uint64_t> Numbers(const std::string& list) {
    std::vector<std::uint64_t> numbers;
    std::istringstream in(list);
    for (std::string item; std::getline(in, item, ',');) numbers.push_back(std::stoull(item));
    return numbers;
  }

  static Route ReadRoute(std::istringstream& words) {
    Route route;
    words >> route.from;
    if (words) words.ignore(2) >> route.to;
    return route;
  }

  void Say(const std::string& line) { output_ += line + "\n"; }

  void Start(std::istringstream& words) {
    ClusterOptions options;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const std::string value = word.substr(equals + 1);
      if (name == "voters") options.voters = Numbers(value);
      if (name == "learners") options.learners = Numbers(value);
      if (name == "disks") options.instant_disks = value != "manual";
      if (name == "quiesce") options.core.quiesce_after_ticks = std::stoi(value);
    }
    cluster_ = std::make_unique<Cluster>(options);
    cluster_->trace = [this](const std::string& text) { Say(text); };
  }

  // Does it without a word.
  template <class Action>
  void Quietly(Action action) {
    const std::string before = output_;
    action();
    output_ = before;
    Say("ok");
  }

  // Takes the fitting messages off the network.
  std::vector<Message> Take(const Route& route) {
    std::vector<Message> taken;
    std::deque<Message> left;
    for (Message& message : cluster_->network()) {
      if (route.Fits(message)) {
        taken.push_back(std::move(message));
      } else {
        left.push_back(std::move(message));
      }
    }
    cluster_->network() = std::move(left);
    return taken;
  }

  void Do(const std::string& verb, std::istringstream& words) {
    if (verb == "start") {
      Start(words);
    } else if (verb == "deliver") {
      for (Message& message : Take(ReadRoute(words))) {
        Say(Describe(message) + ":");
        cluster_->Deliver(std::move(message));
      }
    } else if (verb == "lose") {
      for (const Message& message : Take(ReadRoute(words))) Say("lost: " + Describe(message));
    } else if (verb == "repeat") {
      const Route route = ReadRoute(words);
      for (const Message& message : cluster_->network()) {
        if (!route.Fits(message)) continue;
        Say(Describe(message) + ":");
        cluster_->Deliver(Message(message));
        break;
      }
    } else if (verb == "isolate") {
      std::set<std::uint64_t> nodes;
      for (std::uint64_t id = 0; words >> id;) nodes.insert(id);
      cluster_->Isolate(nodes);
    } else if (verb == "heal") {
      cluster_->Heal();
    } else if (verb == "settle") {
      Quietly([&] { cluster_->Settle(); });
    } else if (verb == "rounds") {
      int rounds = 0;
      words >> rounds;
      Quietly([&] { cluster_->Round(rounds); });
    } else if (verb == "status") {
      for (std::uint64_t id : cluster_->ids()) {
        Say(std::to_string(id) + ": " +
            (cluster_->running(id) ? Describe(cluster_->core(id).Status()) : "down"));
      }
    } else {
      std::uint64_t id = 0;
      words >> id;
      DoAt(verb, id, words);
    }
  }

  void DoAt(const std::string& verb, std::uint64_t id, std::istringstream& words) {
    std::uint64_t number = 0;
    std::string text;
    if (verb == "node") {
      cluster_->AddNode(id);
    } else if (verb == "tick") {
      int times = 1;
      if (!(words >> times)) times = 1;
      cluster_->Tick(id, times);
    } else if (verb == "elect") {
      Quietly([&] { cluster_->Elect(id); });
    } else if (verb == "write") {
      cluster_->CompleteWrite(id);
    } else if (verb == "crash") {
      words >> number;
      cluster_->Crash(id, number);
    } else if (verb == "restart") {
      cluster_->Restart(id);
    } else if (verb == "propose") {
      words >> text;
      const ProposeResult result = cluster_->Propose(id, text);
      if (!result.first) Say(NameOf(result.refusal));
    } else if (verb == "read") {
      words >> number;
      cluster_->Read(id, number);
    } else if (verb == "change") {
      std::vector<std::uint64_t> voters;
      std::vector<std::uint64_t> learners;
      for (std::string word; words >> word;) {
        auto& list = word.starts_with("voters=") ? voters : learners;
        list = Numbers(word.substr(word.find('=') + 1));
      }
      Say(NameOf(cluster_->ChangeMembers(id, {voters.begin(), voters.end()},
                                         {learners.begin(), learners.end()})));
    } else if (verb == "transfer") {
      words >> number;
      if (!cluster_->Transfer(id, number)) Say("refused");
    } else if (verb == "compact") {
      words >> number;
      cluster_->Compact(id, I(number));
    } else if (verb == "snapshot") {
      words >> text;
      cluster_->SendSnapshots(id, text != "fails");
    } else if (verb == "install") {
      cluster_->FinishInstall(id);
    } else if (verb == "log") {
      const Disk& disk = cluster_->at(id).seen;
      std::string line = "after " + std::to_string(disk.snapshot.index.value()) + ":";
      for (const Entry& entry : disk.log) line += " " + Describe(entry);
      Say(line);
    } else {
      Say("unknown command " + verb);
    }
  }

  std::unique_ptr<Cluster> cluster_;
  std::string output_;
};

// The transcript as it comes out now: commands and comments kept, results anew.
std::string Replay(std::istream& in) {
  Player player;
  std::string out;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("> ")) {
      out += line + "\n" + player.Play(line.substr(2)) + "\n";
    } else if (line.starts_with("#")) {
      out += line + "\n";
    }
  }
  return out;
}

bool Rewriting() {
  for (const std::string& argument : testing::internal::GetArgvs()) {
    if (argument == "--rewrite") return true;
  }
  return false;
}

TEST(RaftTranscripts, ComeOutAsWritten) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(kDirectory)) {
    if (file.path().extension() != ".txt") continue;
    ++count;
    std::ifstream in(file.path());
    std::stringstream written;
    written << in.rdbuf();
    const std::string now = Replay(written);
    if (Rewriting()) {
      std::ofstream(file.path()) << now;
    } else {
      EXPECT_EQ(now, written.str())
          << file.path() << ": if this is right, run this test with --rewrite";
    }
  }
  EXPECT_GT(count, 5);
}

}  // namespace
}  // namespace flotilla::raft
