"""Frames to `ltsh serve`, people back: `python websocket_client.py [VIDEO [ADDRESS]]`; without VIDEO, the camera's."""

import json
import os
import sys

import cv2
from websockets.sync.client import connect

video = cv2.VideoCapture(sys.argv[1] if len(sys.argv) > 1 else 0)
address = sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8000/v1/stream"
headers = {"Authorization": f"Bearer {os.environ['LTSH_TOKEN']}"} if "LTSH_TOKEN" in os.environ else {}
with connect(address, additional_headers=headers) as server:
    server.send(json.dumps({"track": True, "smooth": True}))
    print(server.recv())
    while (frame := video.read()[1]) is not None:
        server.send(cv2.imencode(".jpg", frame)[1].tobytes())
        answer = json.loads(server.recv())
        for person in answer.get("people", []):
            found = [joint for joint in person["joints"] if joint is not None]
            print(f"frame {answer['seq']}: person {person['id']}, {len(found)} joints, score {person['score']}")
