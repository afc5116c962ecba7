// Threads that walk through the same steps together.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
inline void relax() { __builtin_ia32_pause(); }
#else
inline void relax() { asm volatile("yield"); }
#endif

// A part of `count` items: those of member `index` of a team of `members`.
struct Share {
    int index, members;
    int first(int count) const { return static_cast<int>(static_cast<int64_t>(count) * index / members); }
    int last(int count) const { return static_cast<int>(static_cast<int64_t>(count) * (index + 1) / members); }
};

class Barrier {
  public:
    explicit Barrier(int members) : members_(members) {}

    void wait() {
        if (members_ == 1) return;
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
            if (spins < 4096) relax();
            else std::this_thread::yield();  // more threads than processors: let the others work
        }
    }

  private:
    const int members_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
};

// The caller and members - 1 threads of its own. Idle ones spin for a moment, then sleep.
class Team {
  public:
    Team(int members, int spins) : members(members), barrier(members), spins_(spins) {
        try {
            for (int index = 1; index < members; ++index) threads_.emplace_back([this, index] { work(index); });
        } catch (...) {
            stop();
            throw;
        }
    }
    ~Team() { stop(); }

    // Calls job(share) in every member and returns when all have ended.
    void run(const std::function<void(Share)>& job) {
        job_ = &job;
        if (members > 1) {
            {
                std::lock_guard<std::mutex> lock(mutex_);
                order_.fetch_add(1, std::memory_order_release);
            }
            if (sleeping_.load(std::memory_order_acquire)) wake_.notify_all();
        }
        job(Share{0, members});
        barrier.wait();
    }

    const int members;
    Barrier barrier;

  private:
    void work(int index) {
        for (unsigned seen = 0;;) {
            for (int spin = 0; spin < spins_ && order_.load(std::memory_order_acquire) == seen; ++spin) relax();
            if (order_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                sleeping_.fetch_add(1);
                wake_.wait(lock, [&] { return order_.load(std::memory_order_acquire) != seen; });
                sleeping_.fetch_sub(1);
            }
            ++seen;
            if (ending_.load(std::memory_order_acquire)) return;
            (*job_)(Share{index, members});
            barrier.wait();
        }
    }

    void stop() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ending_.store(true, std::memory_order_release);
            order_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        for (auto& thread : threads_) thread.join();
    }

    const int spins_;
    const std::function<void(Share)>* job_ = nullptr;
    alignas(64) std::atomic<unsigned> order_{0};
    std::atomic<int> sleeping_{0};
    std::atomic<bool> ending_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> threads_;
};
