/** The machines and their slots, and which experiment each one works for. */

import { stream } from "../app.ts";
import { cluster } from "../data/api.ts";
import { experimentOf, trialOf } from "../data/tasks.ts";
import type { Agent, TaskSummary } from "../data/types.ts";
import { count, int, seconds } from "../format.ts";
import { Ago, Card, Empty, Load, Skeleton, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { useFetched } from "./useFetched.ts";

/** Fetched anew when some experiment changes, as slots change hands only then, and when machines come or go. */
export function useCluster() {
  const read = async () => {
    const [agents, tasks] = await Promise.all([cluster.agents(), cluster.tasks()]);
    return { agents: agents.agents, tasks: Object.values(tasks.allocationIdToSummary) };
  };
  return useFetched(read, [], (changed, missed) => {
    const ends = ["experiments", "cluster"].map((topic) =>
      stream.subscribe(topic, { message: changed, opened: missed }),
    );
    return () => {
      for (const end of ends) end();
    };
  });
}

export function ClusterPage() {
  useTitle("Cluster");
  const [loaded, again] = useCluster();
  return (
    <>
      <PageHead title="Cluster" sub={loaded.state === "ready" ? <Summary agents={loaded.value.agents} /> : " "} />
      <div class="body">
        <Load of={loaded} again={again} skeleton={<Skeleton rows={3} height={90} />}>
          {({ agents, tasks }) =>
            agents.length ? (
              agents.map((a) => <AgentCard key={a.id} agent={a} tasks={tasks} />)
            ) : (
              <Card>
                <Empty title="No machine">
                  <p>Trials start as soon as there are slots for them.</p>
                </Empty>
              </Card>
            )
          }
        </Load>
      </div>
    </>
  );
}

function Summary({ agents }: { agents: readonly Agent[] }) {
  const slots = agents.flatMap((a) => Object.values(a.slots));
  const busy = slots.filter((s) => s.container).length;
  return (
    <>
      {int(busy)} of {count(slots.length, "slot")} busy on {count(agents.length, "machine")}
    </>
  );
}

function AgentCard({ agent, tasks }: { agent: Agent; tasks: readonly TaskSummary[] }) {
  const slots = Object.values(agent.slots);
  const busy = slots.filter((s) => s.container).length;
  const taskOf = (container: string) =>
    tasks.find((t) => t.allocationId === container || t.taskId === container || container.includes(t.allocationId));
  return (
    <Card
      title={agent.id}
      note={`${int(busy)} of ${count(slots.length, "slot")} busy`}
      tools={
        <span class="note">
          {agent.enabled ? (agent.draining ? "draining" : "healthy") : "disabled"} · version {agent.version} · here
          since <Ago at={seconds(agent.registeredTime)} />
        </span>
      }
    >
      <ul class="slots" aria-label={`Slots of ${agent.id}`}>
        {slots.map((slot) => {
          const task = slot.container ? taskOf(slot.container.id) : undefined;
          const experiment = task ? experimentOf(task) : null;
          const trial = task ? trialOf(task) : null;
          const title = slot.container ? (task?.name ?? "busy") : slot.enabled ? "free" : "disabled";
          const text = trial !== null ? `#${trial}` : slot.container ? "busy" : "free";
          return (
            <li
              key={slot.id}
              class={`slot ${slot.container ? `hue-${(experiment ?? 0) % 10}` : "free"}`}
              title={`${slot.device.brand || slot.device.type.replace("TYPE_", "")} ${slot.id}: ${title}`}
            >
              {experiment !== null && trial !== null ? (
                <a href={`/experiments/${experiment}/trials/${trial}/metrics`}>{text}</a>
              ) : (
                text
              )}
            </li>
          );
        })}
      </ul>
    </Card>
  );
}
