/** What somebody may choose for this browser, who is logged in, and what the master is. */

import { user } from "../app.ts";
import { cluster, session } from "../data/api.ts";
import { num } from "../format.ts";
import { digits, grouping, setDigits, setGrouping } from "../numbers.ts";
import { go } from "../router.ts";
import { choice, density, setDensity, setTheme } from "../theme.ts";
import { Card, Load, Segments, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { useFetched } from "./useFetched.ts";

export function SettingsPage() {
  useTitle("Settings");
  const [master, again] = useFetched(() => cluster.master(), []);
  const who = user.value !== null && user.value !== "unknown" ? user.value : null;
  const logout = async () => {
    await session.logout().catch(() => undefined);
    user.value = null;
    go("/login");
  };
  return (
    <>
      <PageHead title="Settings" />
      <div class="body narrow">
        <Card title="Look">
          <div class="setting">
            <span>Theme</span>
            <Segments
              label=""
              value={choice.value}
              options={[
                ["system", "as the system"],
                ["light", "light"],
                ["dark", "dark"],
              ]}
              pick={setTheme}
            />
          </div>
          <div class="setting">
            <span>Rows of tables</span>
            <Segments
              label=""
              value={density.value}
              options={[
                ["comfortable", "comfortable"],
                ["compact", "compact"],
              ]}
              pick={setDensity}
            />
          </div>
          <div class="setting">
            <span>
              Digits of numbers <span class="dim">{num(1234.5678901)}</span> <span class="dim">{num(0.123456789)}</span>
            </span>
            <Segments
              label=""
              value={digits.value}
              options={[
                ["3", "3"],
                ["4", "4"],
                ["6", "6"],
                ["all", "all"],
              ]}
              pick={setDigits}
            />
          </div>
          <div class="setting">
            <span>Thousands</span>
            <Segments
              label=""
              value={grouping.value}
              options={[
                ["comma", "1,234"],
                ["space", "1\u202f234"],
                ["none", "1234"],
              ]}
              pick={setGrouping}
            />
          </div>
        </Card>
        <Card title="User">
          <div class="setting">
            <span>
              Logged in as <b>{who?.displayName || who?.username}</b>
              {who?.admin && <span class="tag">admin</span>}
            </span>
            <button type="button" class="btn" onClick={() => void logout()}>
              Log out
            </button>
          </div>
        </Card>
        <Card title="Master">
          <Load of={master} again={again}>
            {(m) => (
              <dl class="pairs one">
                <div>
                  <dt>version</dt>
                  <dd>{m.productVersion || m.version}</dd>
                </div>
                <div>
                  <dt>cluster</dt>
                  <dd class="mono">{m.clusterId}</dd>
                </div>
                <div>
                  <dt>REST API</dt>
                  <dd>
                    <a class="accent" href="/openapi.json" target="_blank" rel="noreferrer">
                      OpenAPI description
                    </a>
                  </dd>
                </div>
              </dl>
            )}
          </Load>
        </Card>
      </div>
    </>
  );
}
