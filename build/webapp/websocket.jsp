<%-- A WebSocket endpoint without a compiler of ours: the first visit of this page
     registers /websocket, which says back what it hears. Texts and pieces of
     binary messages come back as they came; "close" is answered with a close. --%>
<%@ page session="false" contentType="text/plain; charset=UTF-8" trimDirectiveWhitespaces="true"
    import="jakarta.websocket.*, jakarta.websocket.server.*, java.nio.ByteBuffer" %>
<%!
    public static class Echo extends Endpoint {
        @Override
        public void onOpen(final Session session, EndpointConfig config) {
            session.setMaxTextMessageBufferSize(1048576);
            session.addMessageHandler(String.class, new MessageHandler.Whole<String>() {
                public void onMessage(String text) {
                    try {
                        if (text.equals("close")) {
                            session.close(new CloseReason(CloseReason.CloseCodes.NORMAL_CLOSURE, "as you wish"));
                        } else {
                            session.getBasicRemote().sendText(text);
                        }
                    } catch (java.io.IOException e) {
                        throw new RuntimeException(e);
                    }
                }
            });
            session.addMessageHandler(ByteBuffer.class, new MessageHandler.Partial<ByteBuffer>() {
                public void onMessage(ByteBuffer bytes, boolean last) {
                    try {
                        session.getBasicRemote().sendBinary(bytes, last);
                    } catch (java.io.IOException e) {
                        throw new RuntimeException(e);
                    }
                }
            });
        }
    }
%>
<%
    ServerContainer container = (ServerContainer) application.getAttribute("jakarta.websocket.server.ServerContainer");

    if (container == null) {
        response.sendError(501, "this Tomcat has no WebSocket");
        return;
    }
    synchronized (application) {
        if (application.getAttribute("usher.websocket") == null) {
            container.addEndpoint(ServerEndpointConfig.Builder.create(Echo.class, "/websocket").build());
            application.setAttribute("usher.websocket", Boolean.TRUE);
        }
    }
    out.println("ws: " + request.getContextPath() + "/websocket");
%>
